#include "session/accept/registry.hpp"

#include <array>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe {

inline void PrintTo(SessionRegistry::Verdict verdict, std::ostream* out) {
  static constexpr const char* kNames[] = {"open", "resume", "refuse"};
  *out << kNames[static_cast<int>(verdict)];
}

inline void PrintTo(Reason reason, std::ostream* out) {
  *out << name(reason);
}

}  // namespace backedpipe

namespace backedpipe::test {
namespace {

using std::chrono::minutes;
using Verdict = SessionRegistry::Verdict;

constexpr const char* kLaptop = "laptop";
// As many as there is room for.
constexpr std::uint8_t kThree[] = {1, 2, 3};

SessionId id_of(std::uint8_t number) {
  SessionId id;
  id.bytes[0] = number;
  return id;
}

Hello opening(std::uint8_t number, std::uint64_t generation = 1) {
  return {.session = id_of(number),
          .generation = generation,
          .position = {},
          .open = true,
          .service = "ssh"};
}

Hello resuming(std::uint8_t number, std::uint64_t generation = 2) {
  return {.session = id_of(number),
          .generation = generation,
          .position = {},
          .open = false,
          .service = {}};
}

class Registry : public testing::Test {
 protected:
  SessionRegistry::Decision decide(const Hello& hello, const char* identity = kLaptop,
                                   Reason service_verdict = Reason::none) {
    return registry_.decide(hello, identity, service_verdict);
  }
  Reason refusal(const Hello& hello, const char* identity = kLaptop,
                 Reason service_verdict = Reason::none) {
    const auto decision = decide(hello, identity, service_verdict);
    EXPECT_EQ(decision.verdict, Verdict::refuse);
    return decision.reason;
  }
  void add(std::uint8_t number, Duration when, const char* identity = kLaptop) {
    registry_.add(id_of(number), identity, "ssh", at(when));
  }

  SessionRegistry registry_{
      {.max_sessions = 3, .max_sessions_per_identity = 3, .tombstone_time = minutes(2)}};
};

TEST_F(Registry, TellsWhatBecameOfASessionToItsOwner) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::expired, at(seconds(1)));
  EXPECT_EQ(registry_.end_of(id_of(1), kLaptop), Reason::expired);
  EXPECT_EQ(registry_.end_of(id_of(1), "other"), Reason::not_authorised);
  EXPECT_EQ(registry_.end_of(id_of(2), kLaptop), Reason::unknown_session);
}

TEST_F(Registry, OpensWhatItDoesNotKnowAndResumesWhatItDoes) {
  EXPECT_EQ(decide(opening(1)).verdict, Verdict::open);
  add(1, seconds(0));
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume);
  registry_.attached(id_of(1));
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume) << "a takeover";
  EXPECT_EQ(registry_.size(), 1U);
}

TEST_F(Registry, DecidingChangesNothing) {
  decide(opening(1));
  EXPECT_EQ(registry_.size(), 0U);
}

TEST_F(Registry, ARepeatedOpeningResumes) {
  add(1, seconds(0));
  EXPECT_EQ(decide(opening(1, 2)).verdict, Verdict::resume);
}

TEST_F(Registry, ARepeatedOpeningOfAnotherServiceIsRefused) {
  add(1, seconds(0));
  Hello other = opening(1, 2);
  other.service = "postgres";
  EXPECT_EQ(refusal(other), Reason::protocol_error);
}

TEST_F(Registry, AnUnknownSessionIsNeverOpenedInDisguise) {
  EXPECT_EQ(refusal(resuming(1)), Reason::unknown_session);
}

TEST_F(Registry, AServiceThatRefusesIsReportedAsItSays) {
  EXPECT_EQ(refusal(opening(1), kLaptop, Reason::unknown_service), Reason::unknown_service);
  EXPECT_EQ(refusal(opening(1), kLaptop, Reason::not_authorised), Reason::not_authorised);
  // An open session is not checked for its service again.
  add(1, seconds(0));
  EXPECT_EQ(decide(resuming(1), kLaptop, Reason::unknown_service).verdict, Verdict::resume);
}

TEST_F(Registry, AnotherIdentityIsRefused) {
  add(1, seconds(0));
  EXPECT_EQ(refusal(resuming(1), "mallory"), Reason::not_authorised);
  EXPECT_EQ(refusal(opening(1), "mallory"), Reason::not_authorised);
  registry_.end(id_of(1), Reason::closed, at(seconds(1)));
  EXPECT_EQ(refusal(resuming(1), "mallory"), Reason::not_authorised)
      << "nor does it learn how the session ended";
}

// --- the limit

TEST_F(Registry, ShortOfDescriptorsADetachedSessionOfTheIdentityMakesRoom) {
  registry_.limit({.max_sessions = 10, .max_sessions_per_identity = 10, .possible_sessions = 3});
  for (const std::uint8_t number : kThree)
    add(number, seconds(number));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(1)) << "the longest detached";
  EXPECT_EQ(decide(resuming(2)).verdict, Verdict::resume);
  EXPECT_EQ(refusal(opening(4), "other"), Reason::overloaded) << "which may try again";
  for (const std::uint8_t number : kThree)
    registry_.attached(id_of(number));
  EXPECT_EQ(refusal(opening(4)), Reason::overloaded);
}

TEST_F(Registry, ShortOfDescriptorsAnIdentityLeavesItsShareToTheOthers) {
  registry_.limit({.max_sessions = 10,
                   .max_sessions_per_identity = 5,
                   .possible_sessions = 4,
                   .possible_sessions_per_identity = 2});
  for (const std::uint8_t number : std::array<std::uint8_t, 2>{1, 2}) {
    add(number, seconds(number));
    registry_.attached(id_of(number));
  }
  EXPECT_EQ(refusal(opening(3)), Reason::overloaded);
  EXPECT_EQ(decide(opening(3), "other").verdict, Verdict::open);
}

TEST_F(Registry, WhatIsNotAllowedIsRefusedForGoodEvenWhenDescriptorsAreShort) {
  registry_.limit({.max_sessions = 10, .max_sessions_per_identity = 1, .possible_sessions = 1});
  add(1, seconds(1));
  registry_.attached(id_of(1));
  EXPECT_EQ(refusal(opening(2)), Reason::session_limit);
}

TEST_F(Registry, AtTheLimitAttachedSessionsAreNeverEvicted) {
  for (const std::uint8_t number : kThree) {
    add(number, seconds(number));
    registry_.attached(id_of(number));
  }
  EXPECT_EQ(refusal(opening(4)), Reason::session_limit);
  registry_.detached(id_of(2), at(seconds(10)));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(2));
}

TEST_F(Registry, AtTheLimitTheLongestDetachedGoes) {
  for (const std::uint8_t number : kThree) {
    add(number, seconds(0));
    registry_.attached(id_of(number));
  }
  registry_.detached(id_of(3), at(seconds(5)));
  registry_.detached(id_of(1), at(seconds(6)));
  registry_.detached(id_of(2), at(seconds(7)));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(3));
  registry_.attached(id_of(3));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(1));
}

TEST_F(Registry, DetachingTwiceCountsFromTheFirst) {
  add(1, seconds(1));
  add(2, seconds(2));
  add(3, seconds(3));
  registry_.detached(id_of(1), at(seconds(9)));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(1));
}

TEST_F(Registry, NobodyCausesAnothersSessionToBeEvicted) {
  for (const std::uint8_t number : kThree)
    add(number, seconds(number));
  EXPECT_EQ(refusal(opening(4), "phone"), Reason::session_limit);
  registry_.end(id_of(3), Reason::closed, at(seconds(4)));
  add(4, seconds(5), "phone");
  EXPECT_EQ(decide(opening(5), "phone").to_evict, id_of(4))
      << "its own, although another's is detached for longer";
}

TEST_F(Registry, BelowTheLimitNobodyIsEvicted) {
  add(1, seconds(1));
  add(2, seconds(2));
  EXPECT_FALSE(decide(opening(3)).to_evict);
}

TEST_F(Registry, AResumeNeedsNoRoom) {
  for (const std::uint8_t number : kThree)
    add(number, seconds(number));
  const auto decision = decide(resuming(1));
  EXPECT_EQ(decision.verdict, Verdict::resume);
  EXPECT_FALSE(decision.to_evict);
}

class RegistryPerIdentity : public Registry {
 protected:
  RegistryPerIdentity() {
    registry_ = SessionRegistry({.max_sessions = 100, .max_sessions_per_identity = 2});
  }
};

TEST_F(RegistryPerIdentity, AtItsLimitTheLongestDetachedOfTheSameIdentityGoes) {
  add(9, seconds(0), "phone");
  add(1, seconds(1));
  EXPECT_FALSE(decide(opening(2)).to_evict);
  add(2, seconds(2));
  EXPECT_EQ(decide(opening(3)).to_evict, id_of(1));
  EXPECT_FALSE(decide(opening(3), "phone").to_evict) << "another has room of its own";
}

TEST_F(RegistryPerIdentity, AtItsLimitAttachedSessionsAreNeverEvicted) {
  for (const std::uint8_t number : std::array<std::uint8_t, 2>{1, 2}) {
    add(number, seconds(number));
    registry_.attached(id_of(number));
  }
  EXPECT_EQ(refusal(opening(3)), Reason::session_limit);
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume) << "a resume needs no room";
}

TEST_F(RegistryPerIdentity, WhatEndedDoesNotCount) {
  add(1, seconds(1));
  add(2, seconds(2));
  registry_.end(id_of(1), Reason::closed, at(seconds(3)));
  EXPECT_FALSE(decide(opening(3)).to_evict);
  registry_.end(id_of(2), Reason::closed, at(seconds(3)));
  add(3, seconds(4));
  EXPECT_FALSE(decide(opening(4)).to_evict);
  add(4, seconds(5));
  EXPECT_EQ(decide(opening(5)).to_evict, id_of(3));
}

TEST_F(RegistryPerIdentity, TheLimitOfAllHoldsAsWell) {
  registry_ = SessionRegistry({.max_sessions = 2, .max_sessions_per_identity = 2});
  add(1, seconds(1), "phone");
  add(2, seconds(2));
  EXPECT_EQ(decide(opening(3)).to_evict, id_of(2));
  EXPECT_EQ(refusal(opening(3), "tablet"), Reason::session_limit);
}

// --- the end

TEST_F(Registry, EndingTwiceIsNotFound) {
  add(1, seconds(0));
  EXPECT_TRUE(registry_.end(id_of(1), Reason::closed, at(seconds(1))));
  EXPECT_FALSE(registry_.end(id_of(1), Reason::closed, at(seconds(1))));
  EXPECT_FALSE(registry_.end(id_of(2), Reason::closed, at(seconds(1))));
  EXPECT_EQ(registry_.size(), 0U);
}

TEST_F(Registry, ATombstoneTellsHowTheSessionEnded) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::closed, at(seconds(1)));
  EXPECT_EQ(refusal(resuming(1)), Reason::closed);
  EXPECT_EQ(refusal(opening(1)), Reason::closed) << "it is not opened again either";
}

TEST_F(Registry, WhatExpiredBeforeItsClientSawAWelcomeIsOpenedAnew) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::expired, at(seconds(60)));
  EXPECT_EQ(refusal(resuming(1)), Reason::expired) << "this client has seen one";
  EXPECT_EQ(refusal(opening(1, 2), "another"), Reason::not_authorised);
  EXPECT_EQ(decide(opening(1, 2)).verdict, Verdict::open);
  add(1, seconds(70));
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume);
}

TEST_F(Registry, AnEvictedSessionIsNotOpenedAnewBeforeItsOwnerHasReportedTheEnd) {
  add(1, seconds(0));
  registry_.evict(id_of(1));
  EXPECT_EQ(registry_.size(), 0U);
  EXPECT_EQ(refusal(resuming(1)), Reason::expired);
  EXPECT_EQ(refusal(opening(1, 2), "another"), Reason::not_authorised);
  EXPECT_EQ(refusal(opening(1, 2)), Reason::overloaded) << "the client tries again";
  registry_.tick(at(minutes(10)));
  EXPECT_EQ(refusal(opening(1, 2)), Reason::overloaded) << "however long that takes";
  EXPECT_TRUE(registry_.end(id_of(1), Reason::closed, at(minutes(10))));
  EXPECT_FALSE(registry_.end(id_of(1), Reason::closed, at(minutes(10))));
  EXPECT_EQ(refusal(resuming(1)), Reason::expired) << "whatever its owner says";
  EXPECT_EQ(decide(opening(1, 2)).verdict, Verdict::open);
  registry_.tick(at(minutes(12)));
  EXPECT_EQ(registry_.tombstone_count(), 0U);
}

TEST_F(Registry, AnEvictedSessionThatIsNotQuiteGoneIsRememberedAmongManyTombstones) {
  add(1, seconds(0));
  registry_.evict(id_of(1));
  for (std::uint8_t number = 2; number <= 10; ++number) {
    add(number, seconds(number));
    registry_.end(id_of(number), Reason::closed, at(seconds(number)));
  }
  EXPECT_EQ(refusal(opening(1, 2)), Reason::overloaded);
}

TEST_F(Registry, ASessionThatWasOpenedAnewHasNotEnded) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::expired, at(seconds(60)));
  add(1, seconds(70));
  EXPECT_EQ(registry_.tombstone_count(), 0U);
  EXPECT_EQ(registry_.end_of(id_of(1), kLaptop), Reason::unknown_session);
}

TEST_F(Registry, TheSecondTombstoneOfAnIdIsKeptForItsWholeTime) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::expired, at(seconds(60)));
  add(1, seconds(70));
  registry_.end(id_of(1), Reason::closed, at(seconds(80)));
  registry_.tick(at(seconds(180)));
  EXPECT_EQ(refusal(resuming(1)), Reason::closed) << "only the first one's time is over";
  registry_.tick(at(seconds(200)));
  EXPECT_EQ(refusal(resuming(1)), Reason::unknown_session);
}

TEST_F(Registry, ATombstoneExpires) {
  add(1, seconds(0));
  registry_.end(id_of(1), Reason::closed, at(seconds(1)));
  registry_.tick(at(seconds(121)) - Duration(1));
  EXPECT_EQ(registry_.tombstone_count(), 1U);
  registry_.tick(at(seconds(121)));
  EXPECT_EQ(registry_.tombstone_count(), 0U);
  EXPECT_EQ(refusal(resuming(1)), Reason::unknown_session);
}

TEST_F(Registry, TombstonesAreBounded) {
  for (std::uint8_t number = 1; number <= 10; ++number) {
    add(number, seconds(number));
    registry_.end(id_of(number), Reason::closed, at(seconds(number)));
  }
  EXPECT_EQ(registry_.tombstone_count(), 3U);
  EXPECT_EQ(refusal(resuming(7)), Reason::unknown_session);
  EXPECT_EQ(refusal(resuming(8)), Reason::closed);
}

TEST_F(Registry, AnEndedSessionIsNoLongerEvicted) {
  for (const std::uint8_t number : kThree)
    add(number, seconds(number));
  registry_.end(id_of(1), Reason::expired, at(seconds(4)));
  add(4, seconds(5));
  EXPECT_EQ(decide(opening(5)).to_evict, id_of(2));
}

TEST_F(Registry, EventsOfSessionsThatAreGoneDoNoHarm) {
  registry_.attached(id_of(9));
  registry_.detached(id_of(9), at(seconds(1)));
  EXPECT_EQ(registry_.size(), 0U);
}

}  // namespace
}  // namespace backedpipe::test
