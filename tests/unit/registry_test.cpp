#include "session/registry.hpp"

#include <gtest/gtest.h>

#include "session/admission.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Verdict = SessionRegistry::Verdict;

SessionId id_of(std::uint8_t number) {
  SessionId id;
  id.bytes[15] = number;
  return id;
}

Hello opening(std::uint8_t number, const std::string& service = "ssh") {
  return {
      .session = id_of(number), .generation = 1, .position = {}, .open = true, .service = service};
}

Hello resuming(std::uint8_t number) {
  return {.session = id_of(number), .generation = 2, .position = {}, .open = false, .service = {}};
}

class RegistryTest : public testing::Test {
 protected:
  SessionRegistry::Decision decide(const Hello& hello, const std::string& who = "laptop",
                                   Reason service = Reason::none) {
    return registry_.decide(hello, who, service);
  }
  void open(std::uint8_t number, const std::string& who, Duration when) {
    registry_.add(id_of(number), who, "ssh", at(when));
  }

  SessionRegistry registry_{{.max_sessions = 3, .tombstone_time = std::chrono::minutes(2)}};
};

TEST_F(RegistryTest, AnUnknownSessionIsOpenedButNeverResumed) {
  EXPECT_EQ(decide(opening(1)).verdict, Verdict::open);
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::refuse);
  EXPECT_EQ(decide(resuming(1)).reason, Reason::unknown_session);
}

TEST_F(RegistryTest, ARepeatedOpeningHelloResumesWhatTheFirstOneOpened) {
  open(1, "laptop", seconds(0));
  EXPECT_EQ(decide(opening(1)).verdict, Verdict::resume);
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume);
  EXPECT_EQ(decide(opening(1, "other")).reason, Reason::protocol_error);
}

TEST_F(RegistryTest, ServicesAreCheckedWhenASessionIsOpened) {
  EXPECT_EQ(decide(opening(1), "laptop", Reason::unknown_service).reason, Reason::unknown_service);
  EXPECT_EQ(decide(opening(1), "laptop", Reason::not_authorised).reason, Reason::not_authorised);
  open(1, "laptop", seconds(0));
  EXPECT_EQ(decide(resuming(1), "laptop", Reason::unknown_service).verdict, Verdict::resume);
}

TEST_F(RegistryTest, NobodyElseResumesASessionOrLearnsHowItEnded) {
  open(1, "laptop", seconds(0));
  EXPECT_EQ(decide(resuming(1), "stranger").reason, Reason::not_authorised);
  EXPECT_EQ(decide(opening(1), "stranger").reason, Reason::not_authorised);
  registry_.end(id_of(1), Reason::target_refused, at(seconds(1)));
  EXPECT_EQ(decide(resuming(1), "stranger").reason, Reason::not_authorised);
  EXPECT_EQ(decide(resuming(1)).reason, Reason::target_refused);
}

TEST_F(RegistryTest, AtTheLimitTheLongestDetachedOfTheSameIdentityGoes) {
  open(1, "laptop", seconds(3));
  open(2, "laptop", seconds(1));
  open(3, "laptop", seconds(2));
  const auto decision = decide(opening(4));
  EXPECT_EQ(decision.verdict, Verdict::open);
  EXPECT_EQ(decision.to_evict, id_of(2));
  registry_.attached(id_of(2));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(3));
  registry_.detached(id_of(2), at(seconds(9)));
  registry_.attached(id_of(3));
  EXPECT_EQ(decide(opening(4)).to_evict, id_of(1)) << "the time counts from the latest detach";
}

TEST_F(RegistryTest, AtTheLimitAttachedSessionsAndThoseOfOthersStay) {
  for (std::uint8_t number = 1; number <= 3; ++number)
    open(number, "laptop", seconds(number));
  EXPECT_EQ(decide(opening(4), "phone").reason, Reason::session_limit);
  for (std::uint8_t number = 1; number <= 3; ++number)
    registry_.attached(id_of(number));
  EXPECT_EQ(decide(opening(4)).reason, Reason::session_limit);
  EXPECT_EQ(decide(resuming(1)).verdict, Verdict::resume) << "the limit is for new ones";
}

TEST_F(RegistryTest, EndingTwiceFindsNothingTheSecondTime) {
  open(1, "laptop", seconds(0));
  EXPECT_TRUE(registry_.end(id_of(1), Reason::closed, at(seconds(1))));
  EXPECT_FALSE(registry_.end(id_of(1), Reason::closed, at(seconds(1))));
  EXPECT_EQ(registry_.size(), 0U);
}

TEST_F(RegistryTest, ATombstoneTellsTheEndForTwoMinutes) {
  open(1, "laptop", seconds(0));
  registry_.end(id_of(1), Reason::closed, at(seconds(10)));
  registry_.tick(at(seconds(129)));
  EXPECT_EQ(decide(resuming(1)).reason, Reason::closed);
  EXPECT_EQ(decide(opening(1)).reason, Reason::closed) << "an ended session is not opened again";
  registry_.tick(at(seconds(130)));
  EXPECT_EQ(decide(resuming(1)).reason, Reason::unknown_session);
  EXPECT_EQ(registry_.tombstone_count(), 0U);
}

TEST_F(RegistryTest, TombstonesAreBoundedAndTheOldestGoesFirst) {
  for (std::uint8_t number = 1; number <= 5; ++number) {
    open(number, "laptop", seconds(number));
    registry_.end(id_of(number), Reason::closed, at(seconds(number)));
  }
  EXPECT_EQ(registry_.tombstone_count(), 3U);
  EXPECT_EQ(decide(resuming(2)).reason, Reason::unknown_session);
  EXPECT_EQ(decide(resuming(3)).reason, Reason::closed);
}

TEST(Admission, AFloodFromOneSourceThrowsOutItsOwnOldest) {
  Admission admission(3);
  const auto victim = admission.enter("10.0.0.1");
  const auto first = admission.enter("10.6.6.6");
  const auto second = admission.enter("10.6.6.6");
  EXPECT_FALSE(second.evicted);
  const auto third = admission.enter("10.6.6.6");
  EXPECT_EQ(third.evicted, first.ticket);
  for (int flood = 0; flood < 100; ++flood) {
    EXPECT_NE(admission.enter("10.6.6.6").evicted, victim.ticket);
  }
  EXPECT_EQ(admission.size(), 3U);
}

TEST(Admission, AFloodDoesNotKeepANewcomerOut) {
  Admission admission(2);
  const auto first = admission.enter("10.6.6.6");
  admission.enter("10.6.6.6");
  const auto newcomer = admission.enter("10.0.0.1");
  EXPECT_EQ(newcomer.evicted, first.ticket);
  EXPECT_NE(newcomer.ticket, first.ticket);
}

TEST(Admission, FinishedHandshakesMakeRoomAndVoidTicketsAreHarmless) {
  Admission admission(1);
  const auto first = admission.enter("10.0.0.1");
  admission.leave(first.ticket);
  admission.leave(first.ticket);
  EXPECT_EQ(admission.size(), 0U);
  EXPECT_FALSE(admission.enter("10.0.0.2").evicted);
}

}  // namespace
}  // namespace backedpipe::test
