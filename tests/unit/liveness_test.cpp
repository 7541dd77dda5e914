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

  void measure_round_trip(Duration time) {
    pipe_.ping(at(seconds(0)));
    const auto pings = only(FrameType::ping, take_frames(pipe_, at(seconds(0))));
    ASSERT_EQ(pings.size(), 1U);
    ASSERT_TRUE(
        receive(pipe_, frame_text(FrameType::pong, 0, pings[0].value), at(time)).has_value());
    // Anything on the way afterwards, so that the link is not dead.
    ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 0), at(time + seconds(4))).has_value());
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
  pipe_.ping(at(seconds(5)));
  take_all(pipe_, at(seconds(5)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(seconds(8)));
  EXPECT_EQ(at_time(milliseconds(7999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(8)), Verdict::suspect);
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(8))), at(seconds(15)));
  EXPECT_EQ(at_time(milliseconds(14999)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, ASlowPathHasTimeForThreeRoundTrips) {
  measure_round_trip(seconds(16));  // an eighth of it counts
  EXPECT_EQ(pipe_.round_trip(), seconds(2));
  pipe_.ping(at(seconds(20)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(20))), at(seconds(26)));
  EXPECT_EQ(at_time(milliseconds(25999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(26)), Verdict::suspect);
}

TEST_F(LivenessOfALink, ARoundTripAcrossAnOutageDoesNotMakeItBlindForTheNext) {
  measure_round_trip(seconds(80));
  pipe_.ping(at(seconds(90)));
  EXPECT_EQ(at_time(seconds(96)), Verdict::suspect);
}

// The socket is full, so that not even the question goes out.
TEST_F(LivenessOfALink, APingThatTheLinkDoesNotTakeMakesItSuspectAllTheSame) {
  pipe_.ping(at(seconds(5)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(seconds(8)));
  EXPECT_EQ(at_time(milliseconds(7999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(8)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, SilenceInTheMiddleOfIncomingDataIsAskedAboutSooner) {
  ASSERT_TRUE(receive(pipe_, data_frame(0, "x"), at(milliseconds(500))).has_value());
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(500))), at(milliseconds(1500)));
  EXPECT_EQ(at_time(milliseconds(1499)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(1500)), Verdict::ask);
  pipe_.ping(at(milliseconds(1500)));
  answer_ping(at(milliseconds(1500)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(1500))), at(milliseconds(6500)))
      << "idle from then on";
}

// The link takes a part of what there is and then nothing more: all of it was scheduled before the
// last sign of life.
TEST_F(LivenessOfALink, DataThatTheLinkDoesNotTakeIsOwedAnAnswer) {
  ASSERT_EQ(pipe_.write(bytes_of("hello")), 5U);
  take(pipe_, at(seconds(0)), 3);
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 0), at(seconds(1))).has_value());
  EXPECT_EQ(at_time(seconds(2)), Verdict::ask);
  pipe_.ping(at(seconds(2)));
  EXPECT_EQ(at_time(milliseconds(3999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(4)), Verdict::suspect);
}

TEST_F(LivenessOfALink, AnythingReceivedMakesItAliveAgain) {
  pipe_.ping(at(seconds(5)));
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
    if (liveness_.judge(pipe_, now) == Verdict::ask) pipe_.ping(now);
    EXPECT_EQ(liveness_.judge(pipe_, now) == Verdict::suspect, tenths >= 30) << tenths;
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
    pipe_.ping(at(seconds(5)));
    answer_ping(now);
  }
  EXPECT_GE(asked, 11) << "once for the data, then every five seconds";
  EXPECT_LE(asked, 13);
}

TEST_F(LivenessOfALink, ANewLinkStartsAnew) {
  pipe_.ping(at(seconds(5)));
  take_all(pipe_, at(seconds(5)));
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), at(seconds(14))).has_value());
  EXPECT_EQ(at_time(seconds(15)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(29)), Verdict::dead);
}

}  // namespace
}  // namespace backedpipe::test
