// Reason codes: what a peer may rely on without knowing a code, and the names that scripts rely on.
#include "proto/reason.hpp"

#include <array>
#include <set>
#include <string>

#include <boost/system/errc.hpp>
#include <gtest/gtest.h>

namespace backedpipe {
namespace {

struct Expected {
  Reason reason;
  int code;
  std::string_view name;
};

// The numbers and names that have been given out; they never change.
constexpr std::array kExpected{
    Expected{Reason::none, 0, "none"},
    Expected{Reason::closed, 1, "closed"},
    Expected{Reason::protocol_error, 2, "protocol_error"},
    Expected{Reason::version_unsupported, 3, "version_unsupported"},
    Expected{Reason::not_authorised, 4, "not_authorised"},
    Expected{Reason::unknown_service, 5, "unknown_service"},
    Expected{Reason::unknown_session, 6, "unknown_session"},
    Expected{Reason::stale_generation, 7, "stale_generation"},
    Expected{Reason::target_refused, 8, "target_refused"},
    Expected{Reason::future_sequence, 9, "future_sequence"},
    Expected{Reason::replay_unavailable, 10, "replay_unavailable"},
    Expected{Reason::window_exceeded, 11, "window_exceeded"},
    Expected{Reason::application_reset, 12, "application_reset"},
    Expected{Reason::closed_by_operator, 13, "closed_by_operator"},
    Expected{Reason::expired, 14, "expired"},
    Expected{Reason::session_limit, 15, "session_limit"},
    Expected{Reason::overloaded, 0x8000, "overloaded"},
    Expected{Reason::shutting_down, 0x8001, "shutting_down"},
};

TEST(Reason, CodesAndNamesStayWhatTheyAre) {
  for (const Expected& expected : kExpected) {
    EXPECT_EQ(static_cast<int>(expected.reason), expected.code);
    EXPECT_EQ(name(expected.reason), expected.name);
  }
}

TEST(Reason, TheHighBitAloneTellsTransientFromPermanent) {
  for (const Expected& expected : kExpected) {
    EXPECT_EQ(is_transient(expected.reason), expected.code >= 0x8000) << expected.name;
  }
  EXPECT_TRUE(is_transient(Reason::overloaded));
  EXPECT_TRUE(is_transient(Reason::shutting_down));
  EXPECT_FALSE(is_transient(static_cast<Reason>(0x7FFF)));
  EXPECT_TRUE(is_transient(static_cast<Reason>(0xFFFF)));
}

TEST(Reason, EveryNamedCodeIsListedHere) {
  std::set<std::string_view> names;
  std::size_t named = 0;
  for (int code = 0; code <= 0xFFFF; ++code) {
    const std::string_view given = name(static_cast<Reason>(code));
    if (given == "unknown") continue;
    ++named;
    EXPECT_TRUE(names.insert(given).second) << given;
  }
  EXPECT_EQ(named, kExpected.size());
}

TEST(Reason, EveryNamedCodeHasASentenceOfItsOwn) {
  std::set<std::string> sentences;
  for (const Expected& expected : kExpected) {
    const std::string sentence = make_error_code(expected.reason).message();
    EXPECT_FALSE(sentence.empty());
    EXPECT_TRUE(sentences.insert(sentence).second) << sentence;
  }
}

TEST(Reason, ACodeWithoutANameStillSaysItsNumber) {
  EXPECT_EQ(name(static_cast<Reason>(4242)), "unknown");
  EXPECT_EQ(make_error_code(static_cast<Reason>(4242)).message(), "reason 4242");
}

TEST(Reason, ComesBackOutOfAnError) {
  for (const Expected& expected : kExpected) {
    const boost::system::error_code error = expected.reason;
    EXPECT_EQ(reason_of(error), expected.reason);
  }
  EXPECT_EQ(reason_of(static_cast<Reason>(0xBEEF)), static_cast<Reason>(0xBEEF));
}

TEST(Reason, IsNotFoundInErrorsOfOthers) {
  const auto reset = make_error_code(boost::system::errc::connection_reset);
  EXPECT_EQ(reason_of(reset), std::nullopt);
  EXPECT_EQ(reason_of(boost::system::error_code()), std::nullopt);
}

}  // namespace
}  // namespace backedpipe
