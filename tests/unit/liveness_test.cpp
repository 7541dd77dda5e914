#include "session/liveness.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe {

inline void PrintTo(Liveness::Verdict verdict, std::ostream* out) {
  static constexpr const char* kNames[] = {"alive", "ask", "suspect", "dead"};
  *out << kNames[static_cast<int>(verdict)];
}

}  // namespace backedpipe

namespace backedpipe::test {
namespace {

using Verdict = Liveness::Verdict;

// ping 5 s, suspect 3 s, dead 15 s.
class LivenessOfALink : public OnePipe {
 protected:
  // The link of generation 1 is there, and the first ping has been answered.
  void SetUp() override {
    ASSERT_TRUE(pipe_.attach(1, peer_at(0), at(seconds(0))).has_value());
    answer_ping(at(seconds(0)));
  }

  // What the pipe has to say goes out, and the ping among it is answered.
  void answer_ping(TimePoint now) {
    const auto pings = only(FrameType::ping, take_frames(pipe_, now));
    ASSERT_EQ(pings.size(), 1U);
    ASSERT_TRUE(receive(pipe_, frame_text(FrameType::pong, 0, pings[0].value), now).has_value());
  }

  Verdict at_time(Duration since_start) { return liveness_.judge(pipe_, at(since_start)); }

  Liveness liveness_{LivenessOptions{}};
};

TEST_F(LivenessOfALink, WithoutALinkThereIsNothingToJudge) {
  lose_link();
  EXPECT_EQ(at_time(seconds(1000)), Verdict::alive);
  EXPECT_FALSE(liveness_.deadline(pipe_, at(seconds(1000))));
}

TEST_F(LivenessOfALink, AnIdleLinkIsAskedAfterPing) {
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(0))), at(seconds(5)));
  EXPECT_EQ(at_time(milliseconds(4999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(5)), Verdict::ask);
}

TEST_F(LivenessOfALink, AnUnansweredPingMakesItSuspectAndThenDead) {
  pipe_.ping();
  take_all(pipe_, at(seconds(5)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(seconds(8)));
  EXPECT_EQ(at_time(milliseconds(7999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(8)), Verdict::suspect);
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(8))), at(seconds(15)));
  EXPECT_EQ(at_time(milliseconds(14999)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, APingThatTheLinkDoesNotTakeStillLeadsToDeath) {
  pipe_.ping();
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(seconds(15)));
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, AnythingReceivedMakesItAliveAgain) {
  pipe_.ping();
  take_all(pipe_, at(seconds(5)));
  ASSERT_EQ(at_time(seconds(8)), Verdict::suspect);
  ASSERT_TRUE(receive(pipe_, data_frame(0, "x"), at(seconds(9))).has_value());
  EXPECT_EQ(at_time(seconds(9)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(12)), Verdict::suspect) << "the pong is still owed";
  EXPECT_EQ(at_time(seconds(24)), Verdict::dead);
}

TEST_F(LivenessOfALink, DataThatGoesUnansweredIsAskedAboutSooner) {
  ASSERT_EQ(pipe_.write(bytes_of("hello")), 5U);
  take_all(pipe_, at(seconds(1)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(1))), at(seconds(2)));
  EXPECT_EQ(at_time(milliseconds(1999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(2)), Verdict::ask);
}

// Data goes out all the time, so that the link is never idle; nothing comes back.
TEST_F(LivenessOfALink, ABusyOneWaySenderNoticesADeadPath) {
  for (int tenths = 0; tenths < 100; ++tenths) {
    const TimePoint now = at(milliseconds(100 * tenths));
    pipe_.write(bytes_of("x"));
    if (liveness_.judge(pipe_, now) == Verdict::ask) pipe_.ping();
    take_all(pipe_, now);
  }
  EXPECT_EQ(at_time(seconds(10)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

// The peer's daemon is well and answers pings; only its application does not read, so that nothing
// is acknowledged.
TEST_F(LivenessOfALink, APeerWhoseApplicationIsStalledIsNotSuspect) {
  ASSERT_EQ(pipe_.write(bytes_of(std::string(100, 'x'))), 100U);
  take_all(pipe_, at(seconds(0)));
  int asked = 0;
  for (int tenths = 0; tenths < 600; ++tenths) {
    const TimePoint now = at(milliseconds(100 * tenths));
    const Verdict verdict = liveness_.judge(pipe_, now);
    ASSERT_NE(verdict, Verdict::suspect) << tenths;
    ASSERT_NE(verdict, Verdict::dead) << tenths;
    if (verdict != Verdict::ask) continue;
    ++asked;
    pipe_.ping();
    answer_ping(now);
  }
  EXPECT_GE(asked, 11) << "once for the data, then every five seconds";
  EXPECT_LE(asked, 13);
}

TEST_F(LivenessOfALink, ANewLinkStartsAnew) {
  pipe_.ping();
  take_all(pipe_, at(seconds(5)));
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), at(seconds(14))).has_value());
  EXPECT_EQ(at_time(seconds(15)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(29)), Verdict::dead);
}

}  // namespace
}  // namespace backedpipe::test
