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

// ping 5 s, suspect 3 s, dead 15 s; answers come at once, so that patience ends after 750 ms.
class LivenessOfALink : public OnePipe {
 protected:
  // The link of generation 1 is there, and the first ping has been answered.
  void SetUp() override {
    attach_next();
    answer_ping(at(seconds(0)));
  }

  void attach_next() {
    ASSERT_TRUE(pipe_.attach(++generation_, peer_at(0), at(seconds(0))).has_value());
  }

  // What the pipe has to say goes out, and the ping among it is answered.
  void answer_ping(TimePoint now) {
    const auto pings = only(FrameType::ping, take_frames(pipe_, now));
    ASSERT_EQ(pings.size(), 1U);
    ASSERT_TRUE(receive(pipe_, frame_text(FrameType::pong, 0, pings[0].value), now).has_value());
  }

  // Over a new link, with three measurements.
  void set_round_trip(Duration time) {
    attach_next();
    for (int i = 0; i < 3; ++i) {
      pipe_.ping(at(i * time));
      const auto pings = only(FrameType::ping, take_frames(pipe_, at(i * time)));
      ASSERT_EQ(pings.size(), 1U);
      pong(pings[0].value, at((i + 1) * time));
    }
  }

  void pong(std::uint64_t token, TimePoint now) {
    ASSERT_TRUE(receive(pipe_, frame_text(FrameType::pong, 0, token), now).has_value());
  }

  // How long after a question at `asked` the link becomes suspect if nothing comes.
  Duration patience(TimePoint asked) {
    pipe_.ping(asked);
    const auto due = liveness_.deadline(pipe_, asked);
    EXPECT_EQ(liveness_.judge(pipe_, *due - Duration(1)), Verdict::alive);
    EXPECT_EQ(liveness_.judge(pipe_, *due), Verdict::suspect);
    return *due - asked;
  }

  void measure_round_trip(Duration time) {
    pipe_.ping(at(seconds(0)));
    const auto pings = only(FrameType::ping, take_frames(pipe_, at(seconds(0))));
    ASSERT_EQ(pings.size(), 1U);
    ASSERT_TRUE(
        receive(pipe_, frame_text(FrameType::pong, 0, pings[0].value), at(time)).has_value());
    // A frame after that, so that the link is not dead.
    ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 0), at(time + seconds(4))).has_value());
  }

  std::uint64_t generation_ = 0;

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
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(milliseconds(5750)));
  EXPECT_EQ(at_time(milliseconds(5749)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(5750)), Verdict::suspect);
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(5750))), at(seconds(15)));
  EXPECT_EQ(at_time(milliseconds(14999)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

// It leaves time for two retransmission timeouts of TCP.
TEST_F(LivenessOfALink, PatienceFollowsTheRoundTrip) {
  const auto patience_at = [this](Duration round_trip) {
    set_round_trip(round_trip);
    return patience(at(seconds(8)));
  };
  EXPECT_EQ(patience_at(milliseconds(1)), milliseconds(750)) << "a quarter of `suspect`";
  EXPECT_EQ(patience_at(milliseconds(50)), milliseconds(800));
  EXPECT_EQ(patience_at(milliseconds(300)), milliseconds(1800));
  EXPECT_EQ(patience_at(milliseconds(600)), seconds(3));
  EXPECT_EQ(patience_at(milliseconds(900)), seconds(3)) << "all of `suspect`";
  EXPECT_EQ(patience_at(milliseconds(1200)), milliseconds(3600)) << "three round trips";
  EXPECT_EQ(patience_at(milliseconds(2500)), seconds(6)) << "twice `suspect`";
}

TEST_F(LivenessOfALink, TheSettingScalesThePatienceDownToTwoTimeouts) {
  const auto patience_with = [this](Duration suspect) {
    liveness_ = Liveness({.ping = seconds(5), .suspect = suspect, .dead = seconds(15)});
    SetUp();
    return patience(at(seconds(5)));
  };
  EXPECT_EQ(patience_with(seconds(8)), seconds(2));
  EXPECT_EQ(patience_with(seconds(1)), milliseconds(600));
  EXPECT_EQ(patience_with(milliseconds(300)), milliseconds(300));
}

TEST_F(LivenessOfALink, BeforeTheFirstAnswerNothingIsKnownOfItsRoundTrip) {
  BackedPipe fresh(*pool_, kSmallPipe);
  ASSERT_TRUE(fresh.attach(1, peer_at(0), at(seconds(0))).has_value());
  EXPECT_EQ(liveness_.deadline(fresh, at(seconds(0))), at(seconds(3)));
}

// The previous test's measurement once more, as at the end of an outage.
TEST_F(LivenessOfALink, OneAnswerAcrossAnOutageDoesNotMakeItPatient) {
  measure_round_trip(milliseconds(1500));
  EXPECT_EQ(patience(at(seconds(8))), milliseconds(750));
}

// Bytes come before the answer: a queue must have grown.
TEST_F(LivenessOfALink, BytesBeforeTheAnswerSayHowLongItTakesByNow) {
  pipe_.ping(at(seconds(5)));
  take_all(pipe_, at(seconds(5)));
  const auto data_comes = [this](std::uint64_t offset, Duration time) {
    ASSERT_TRUE(receive(pipe_, data_frame(offset, "x"), at(time)).has_value());
  };
  data_comes(0, milliseconds(5400));
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(5400))), at(milliseconds(5400 + 2200)));
  data_comes(1, milliseconds(6500));
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(6500))), at(milliseconds(6500 + 4500)));
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

// Measured three times, it is no outage.
TEST_F(LivenessOfALink, AVerySlowPathHasTimeForOneAndAHalfRoundTrips) {
  set_round_trip(seconds(8));
  EXPECT_EQ(patience(at(seconds(24))), seconds(12));
}

TEST_F(LivenessOfALink, UntilItIsMeasuredTheHandshakeSaysHowSlowThePathIs) {
  BackedPipe fresh(*pool_, kSmallPipe);
  ASSERT_TRUE(fresh.attach(1, peer_at(0), at(seconds(0)), seconds(5)).has_value());
  EXPECT_EQ(liveness_.deadline(fresh, at(seconds(0))), at(seconds(10)));
  const auto pings = only(FrameType::ping, take_frames(fresh, at(seconds(0))));
  ASSERT_TRUE(receive(fresh, frame_text(FrameType::pong, 0, pings.at(0).value), at(milliseconds(5)))
                  .has_value());
  fresh.ping(at(seconds(1)));
  EXPECT_EQ(liveness_.deadline(fresh, at(seconds(1))), at(milliseconds(1750)));
}

TEST_F(LivenessOfALink, AFirstAnswerAcrossAnOutageIsNoVerySlowPath) {
  BackedPipe fresh(*pool_, kSmallPipe);
  ASSERT_TRUE(fresh.attach(1, peer_at(0), at(seconds(0)), milliseconds(150)).has_value());
  const auto pings = only(FrameType::ping, take_frames(fresh, at(seconds(0))));
  ASSERT_TRUE(receive(fresh, frame_text(FrameType::pong, 0, pings.at(0).value), at(seconds(9)))
                  .has_value());
  fresh.ping(at(seconds(9)));
  EXPECT_EQ(liveness_.deadline(fresh, at(seconds(9))), at(seconds(15)));
}

TEST_F(LivenessOfALink, EachFruitlessLinkAfterTheThirdDoublesThePatience) {
  pipe_.ping(at(seconds(5)));
  const auto patience_after = [this](std::uint32_t fruitless) {
    return *liveness_.deadline(pipe_, at(seconds(5)), fruitless) - at(seconds(5));
  };
  EXPECT_EQ(patience_after(3), milliseconds(750));
  EXPECT_EQ(patience_after(4), milliseconds(1500));
  EXPECT_EQ(patience_after(6), seconds(6));
  EXPECT_EQ(patience_after(1'000'000), seconds(10)) << "when it is dead";
}

// The socket is full, so that not even the question goes out.
TEST_F(LivenessOfALink, APingThatTheLinkDoesNotTakeMakesItSuspectAllTheSame) {
  pipe_.ping(at(seconds(5)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(5))), at(milliseconds(5750)));
  EXPECT_EQ(at_time(milliseconds(5749)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(5750)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, SilenceInTheMiddleOfIncomingDataIsAskedAboutSooner) {
  ASSERT_TRUE(receive(pipe_, data_frame(0, "x"), at(milliseconds(500))).has_value());
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(500))), at(milliseconds(750)));
  EXPECT_EQ(at_time(milliseconds(749)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(750)), Verdict::ask);
  pipe_.ping(at(milliseconds(750)));
  answer_ping(at(milliseconds(750)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(750))), at(milliseconds(5750)))
      << "idle from then on";
}

// The link takes some of the data and then no more. All of it was scheduled before the last sign of
// life.
TEST_F(LivenessOfALink, DataThatTheLinkDoesNotTakeIsOwedAnAnswer) {
  ASSERT_EQ(pipe_.write(bytes_of("hello")), 5U);
  take(pipe_, at(seconds(0)), 3);
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 0), at(seconds(1))).has_value());
  EXPECT_EQ(at_time(milliseconds(1249)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(1250)), Verdict::ask);
  pipe_.ping(at(milliseconds(1250)));
  EXPECT_EQ(at_time(milliseconds(1749)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(1750)), Verdict::suspect);
}

TEST_F(LivenessOfALink, AnythingReceivedMakesItAliveAgain) {
  pipe_.ping(at(seconds(5)));
  take_all(pipe_, at(seconds(5)));
  ASSERT_EQ(at_time(seconds(8)), Verdict::suspect);
  ASSERT_TRUE(receive(pipe_, data_frame(0, "x"), at(seconds(9))).has_value());
  EXPECT_EQ(at_time(seconds(9)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(15)), Verdict::suspect) << "the pong is still owed";
  EXPECT_EQ(at_time(seconds(24)), Verdict::dead);
}

TEST_F(LivenessOfALink, DataThatGoesUnansweredIsAskedAboutSooner) {
  ASSERT_EQ(pipe_.write(bytes_of("hello")), 5U);
  take_all(pipe_, at(seconds(1)));
  EXPECT_EQ(liveness_.deadline(pipe_, at(seconds(1))), at(milliseconds(1250)));
  EXPECT_EQ(at_time(milliseconds(1249)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(1250)), Verdict::ask);
}

// Data goes out all the time, so that the link is never idle; nothing comes back.
TEST_F(LivenessOfALink, ABusyOneWaySenderNoticesADeadPath) {
  for (int tenths = 0; tenths < 100; ++tenths) {
    const TimePoint now = at(milliseconds(100 * tenths));
    pipe_.write(bytes_of("x"));
    if (liveness_.judge(pipe_, now) == Verdict::ask) pipe_.ping(now);
    EXPECT_EQ(liveness_.judge(pipe_, now) == Verdict::suspect, tenths >= 8) << tenths;
    take_all(pipe_, now);
  }
  EXPECT_EQ(at_time(seconds(10)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

// The peer's daemon answers pings, but its application does not read, so nothing is acknowledged.
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

// On a link that makes progress, a PING can be held up by retransmissions of what was sent before
// it.
TEST_F(LivenessOfALink, WhatTcpHeardBeginsPatienceAnew) {
  set_round_trip(milliseconds(300));
  pipe_.ping(at(seconds(8)));
  ASSERT_EQ(at_time(milliseconds(9800)), Verdict::suspect);
  pipe_.tcp_answered(at(milliseconds(9500)));
  EXPECT_EQ(at_time(milliseconds(9800)), Verdict::alive);
  EXPECT_EQ(liveness_.deadline(pipe_, at(milliseconds(9800))), at(milliseconds(11300)));
  EXPECT_EQ(at_time(milliseconds(11299)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(11300)), Verdict::suspect);
}

TEST_F(LivenessOfALink, WhatTcpHeardDoesNotMakeUpForFifteenSecondsOfSilence) {
  pipe_.ping(at(seconds(5)));
  pipe_.tcp_answered(at(milliseconds(14900)));
  EXPECT_EQ(at_time(milliseconds(14999)), Verdict::alive);
  EXPECT_EQ(at_time(seconds(15)), Verdict::dead);
}

TEST_F(LivenessOfALink, TcpIsBelievedIfItsOtherEndIsAsFarAwayAsThePeer) {
  const auto believes = [this](Duration round_trip) {
    return Liveness::believes(pipe_, {.at = at(seconds(8)), .round_trip = round_trip});
  };
  set_round_trip(milliseconds(300));
  EXPECT_TRUE(believes(milliseconds(290)));
  EXPECT_TRUE(believes(milliseconds(150)));
  EXPECT_FALSE(believes(milliseconds(149))) << "a relay on the way has said so";
  set_round_trip(milliseconds(10));
  EXPECT_TRUE(believes(milliseconds(10)));
  set_round_trip(milliseconds(9));
  EXPECT_FALSE(believes(milliseconds(9))) << "too near to tell them apart";

  BackedPipe fresh(*pool_, kSmallPipe);
  ASSERT_TRUE(fresh.attach(1, peer_at(0), at(seconds(0))).has_value());
  EXPECT_FALSE(Liveness::believes(fresh, {.at = at(seconds(0)), .round_trip = seconds(1)}))
      << "nothing to compare it with";
}

TEST_F(LivenessOfALink, ANewLinkStartsAnew) {
  pipe_.ping(at(seconds(5)));
  take_all(pipe_, at(seconds(5)));
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), at(seconds(14))).has_value());
  EXPECT_EQ(at_time(milliseconds(14749)), Verdict::alive);
  EXPECT_EQ(at_time(milliseconds(14750)), Verdict::suspect);
  EXPECT_EQ(at_time(seconds(29)), Verdict::dead);
}

using Doubt = Liveness::Doubt;
using std::chrono::hours;

constexpr NetworkChange kRerouted{.rerouted = true, .resumed = false};
constexpr NetworkChange kResumed{.rerouted = false, .resumed = true};

TEST(LinkDoubt, ALinkThatOwesNothingIsAsked) {
  EXPECT_EQ(Liveness::doubt(kRerouted, {}), Doubt::ask);
}

TEST(LinkDoubt, ALinkWhoseAnswerIsOverdueIsDistrusted) {
  EXPECT_EQ(Liveness::doubt(kRerouted, {.owed_for = milliseconds(100)}), Doubt::distrust);
}

TEST(LinkDoubt, ABusyLinkIsAsked) {
  EXPECT_EQ(Liveness::doubt(kRerouted, {.owed_for = milliseconds(99)}), Doubt::ask);
  const LinkFacts slow{.owed_for = milliseconds(599), .round_trip = milliseconds(300)};
  EXPECT_EQ(Liveness::doubt(kRerouted, slow), Doubt::ask);
  const LinkFacts overdue{.owed_for = milliseconds(600), .round_trip = milliseconds(300)};
  EXPECT_EQ(Liveness::doubt(kRerouted, overdue), Doubt::distrust);
}

TEST(LinkDoubt, ALinkWithoutItsAddressIsDistrusted) {
  EXPECT_EQ(Liveness::doubt(kRerouted, {.address_gone = true}), Doubt::distrust);
}

TEST(LinkDoubt, AfterASuspendEveryLinkIsDistrusted) {
  EXPECT_EQ(Liveness::doubt(kResumed, {}), Doubt::distrust);
}

TEST(LinkDoubt, ALoopbackLinkIsLeftAlone) {
  const LinkFacts worst{.loopback = true, .address_gone = true, .owed_for = hours(1)};
  EXPECT_EQ(Liveness::doubt(kRerouted, worst), Doubt::none);
  EXPECT_EQ(Liveness::doubt(kResumed, worst), Doubt::none);
}

TEST(LinkDoubt, WithoutAChangeThereIsNone) {
  EXPECT_EQ(Liveness::doubt({}, {.address_gone = true}), Doubt::none);
}

// --- what is owed when the network changes

TEST_F(LivenessOfALink, OwesNothingWhenEverythingIsAnswered) {
  const LinkFacts facts = Liveness::facts_of(pipe_, at(seconds(10)));
  EXPECT_FALSE(facts.owed_for);
  EXPECT_EQ(facts.round_trip, milliseconds(0));
}

TEST_F(LivenessOfALink, OwesTheAnswerToAPing) {
  pipe_.ping(at(seconds(10)));
  EXPECT_EQ(Liveness::facts_of(pipe_, at(milliseconds(10'250))).owed_for, milliseconds(250));
}

}  // namespace
}  // namespace backedpipe::test
