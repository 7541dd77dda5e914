#include "session/dial/peer_gate.hpp"

#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::minutes;
using State = PeerGate::State;

SessionId session(std::uint32_t number) {
  SessionId id;
  for (std::size_t i = 0; i < 4; ++i)
    id.bytes[i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return id;
}

// A gate with a clock; notes which sessions dial.
class PeerGateTest : public ::testing::Test {
 protected:
  void request(std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t number = first; number <= last; ++number)
      gate_.request(session(number));
    run();
  }

  // Executes the gate's actions.
  void run() {
    while (const auto action = gate_.next_action(now_)) {
      if (action->kind == PeerGate::Action::Kind::dial) {
        EXPECT_TRUE(dials_.insert(action->session).second) << "dialled twice at a time";
        started_.push_back(action->session);
        ++turns_[action->session];
      } else {
        EXPECT_EQ(dials_.erase(action->session), 1U) << "no such dial to cancel";
        ++cancelled_;
      }
    }
    EXPECT_EQ(dials_.size(), gate_.dialling());
  }

  void pass(Duration time) {
    now_ += time;
    run();
  }

  // By value: the argument may refer to what this call changes.
  bool fail(SessionId id, const std::string& why = "connection refused") {
    dials_.erase(id);
    const bool waits = gate_.failed(id, why, now_);
    run();
    return waits;
  }
  void answer(SessionId id) {
    gate_.answered(id, now_);
    run();
  }
  // The peer answers, and the session has its link.
  void attach(SessionId id) {
    gate_.answered(id, now_);
    dials_.erase(id);
    gate_.withdraw(id);
    run();
  }
  void withdraw(SessionId id) {
    dials_.erase(id);
    gate_.withdraw(id);
    run();
  }
  void complain(SessionId id) {
    gate_.struggling(id, "no answer", now_);
    run();
  }
  SessionId only_dial() const {
    EXPECT_EQ(dials_.size(), 1U);
    return dials_.empty() ? SessionId{} : *dials_.begin();
  }
  // The peer is down, and this many sessions wait or probe.
  void go_down(std::uint32_t sessions) {
    request(1, sessions);
    EXPECT_TRUE(fail(*dials_.begin()));
    ASSERT_EQ(gate_.state(), State::down);
  }

  PeerGate gate_{1};
  TimePoint now_ = at(seconds(100));
  std::set<SessionId> dials_;
  std::vector<SessionId> started_;
  std::map<SessionId, int> turns_;
  int cancelled_ = 0;
};

TEST_F(PeerGateTest, DialsAtOnceWhileNothingIsKnown) {
  EXPECT_EQ(gate_.state(), State::unknown);
  request(1, 3);
  EXPECT_EQ(started_, (std::vector{session(1), session(2), session(3)}));
  EXPECT_FALSE(gate_.deadline());
}

TEST_F(PeerGateTest, ARequestThatIsRepeatedCountsOnce) {
  request(1, 100);
  request(1, 100);
  EXPECT_EQ(gate_.dialling(), PeerGate::kMostDials);
  EXPECT_EQ(gate_.waiting(), 100 - PeerGate::kMostDials);
}

TEST_F(PeerGateTest, SixtyFourDialAtATimeInTheOrderTheyCame) {
  request(1, 2000);
  EXPECT_EQ(dials_.size(), 64U);
  for (std::uint32_t number = 1; number <= 2000; ++number) {
    attach(session(number));
    EXPECT_EQ(dials_.size(), std::min<std::size_t>(64, 2000 - number));
  }
  ASSERT_EQ(started_.size(), 2000U);
  for (std::uint32_t number = 1; number <= 2000; ++number)
    ASSERT_EQ(started_[number - 1], session(number));
}

TEST_F(PeerGateTest, ADialThatWasAnsweredStillCounts) {
  request(1, 65);
  answer(session(1));
  EXPECT_EQ(dials_.size(), 64U);
  EXPECT_EQ(gate_.waiting(), 1U);
}

TEST_F(PeerGateTest, OneDialGoesOnWhenThePeerIsFoundToBeDown) {
  request(1, 2000);
  EXPECT_TRUE(fail(session(10)));
  EXPECT_EQ(gate_.state(), State::down);
  EXPECT_EQ(gate_.last_error(), "connection refused");
  EXPECT_EQ(gate_.down_since(), now_);
  EXPECT_EQ(only_dial(), session(1));
  EXPECT_EQ(cancelled_, 62);
  EXPECT_TRUE(gate_.probing());
}

TEST_F(PeerGateTest, ExactlyOneProbeAtATimeWithBackoff) {
  go_down(2000);
  std::size_t before = started_.size();
  Duration most = milliseconds(50);
  for (int probe = 0; probe < 50; ++probe) {
    const SessionId prober = only_dial();
    EXPECT_TRUE(fail(prober));
    EXPECT_TRUE(dials_.empty());
    ASSERT_TRUE(gate_.deadline());
    EXPECT_EQ(gate_.deadline(), gate_.next_probe());
    const Duration pause = *gate_.deadline() - now_;
    most = std::min<Duration>(most * 2, milliseconds(500));
    EXPECT_LE(pause, most);
    EXPECT_GE(pause, most / 2);
    pass(pause - Duration(1));
    EXPECT_TRUE(dials_.empty());
    pass(Duration(1));
    EXPECT_EQ(++before, started_.size());
  }
}

TEST_F(PeerGateTest, ProbesLessOftenAfterFiveMinutes) {
  go_down(1);
  now_ += minutes(6);
  run();
  for (int probe = 0; probe < 10; ++probe) {
    EXPECT_TRUE(fail(only_dial()));
    pass(*gate_.deadline() - now_);
  }
  EXPECT_TRUE(fail(only_dial()));
  EXPECT_GE(*gate_.deadline() - now_, seconds(5));
}

TEST_F(PeerGateTest, ASilentProbeIsFollowedAtOnce) {
  go_down(2);
  const SessionId first = only_dial();
  now_ += seconds(10);
  EXPECT_TRUE(fail(first, "timeout"));
  EXPECT_NE(only_dial(), first);
  EXPECT_EQ(gate_.last_error(), "timeout");
}

TEST_F(PeerGateTest, EverySessionProbesInTurn) {
  go_down(20);
  for (int probe = 0; probe < 200; ++probe) {
    EXPECT_TRUE(fail(only_dial()));
    pass(seconds(10));
  }
  for (std::uint32_t number = 1; number <= 20; ++number)
    EXPECT_GE(turns_[session(number)], 10) << "session " << number;
}

TEST_F(PeerGateTest, AllFollowWhenTheProbeIsAnswered) {
  go_down(2000);
  pass(minutes(1));
  answer(only_dial());
  EXPECT_EQ(gate_.state(), State::up);
  EXPECT_EQ(dials_.size(), 64U);
  std::size_t attached = 0;
  while (!dials_.empty()) {
    attach(*dials_.begin());
    ++attached;
  }
  EXPECT_EQ(attached, 2000U);
  EXPECT_EQ(gate_.waiting(), 0U);
}

TEST_F(PeerGateTest, ANewSessionWaitsWhileThePeerIsDown) {
  go_down(2);
  request(3, 3);
  EXPECT_EQ(dials_.size(), 1U);
  EXPECT_EQ(gate_.waiting(), 2U);
}

TEST_F(PeerGateTest, AProbeWhoseSessionEndsIsReplaced) {
  go_down(3);
  const SessionId prober = only_dial();
  pass(seconds(1));
  withdraw(prober);
  EXPECT_NE(only_dial(), prober);
  EXPECT_EQ(gate_.waiting(), 1U);
}

TEST_F(PeerGateTest, ALinkThatAnswersAfterAllOpensTheGateForAll) {
  go_down(3);
  const SessionId prober = only_dial();
  gate_.alive(now_);
  EXPECT_EQ(gate_.state(), PeerGate::State::up);
  withdraw(prober);
  EXPECT_EQ(dials_.size(), 2U) << "without the pause after a probe that came to nothing";
  EXPECT_EQ(gate_.waiting(), 0U);
}

TEST_F(PeerGateTest, SessionsThatComeAndGoMakeNoStormOfProbes) {
  go_down(1);
  withdraw(session(1));
  const std::size_t before = started_.size();
  const TimePoint end = now_ + seconds(1);
  for (std::uint32_t number = 10; now_ < end; ++number) {
    request(number, number);
    now_ += milliseconds(1);
    withdraw(session(number));
  }
  EXPECT_LE(started_.size() - before, 20U);
}

TEST_F(PeerGateTest, AWaitingSessionThatEndsIsForgotten) {
  request(1, 66);
  withdraw(session(65));
  EXPECT_EQ(gate_.waiting(), 1U);
  attach(session(1));
  EXPECT_EQ(started_.back(), session(66));
}

TEST_F(PeerGateTest, ADialThatOthersOvertookFailsForItself) {
  request(1, 3);
  pass(milliseconds(10));
  attach(session(2));
  EXPECT_FALSE(fail(session(1), "connection reset"));
  EXPECT_EQ(gate_.state(), State::up);
  // It is not waiting any more.
  EXPECT_EQ(gate_.waiting(), 0U);
  EXPECT_EQ(dials_, (std::set{session(3)}));
}

TEST_F(PeerGateTest, AnAnsweredDialThatFailsIsNotDialledAgain) {
  request(1, 1);
  answer(session(1));
  now_ += seconds(10);
  EXPECT_FALSE(fail(session(1), "no answer to HELLO"));
  EXPECT_EQ(gate_.state(), State::up);
  EXPECT_TRUE(dials_.empty());
}

TEST_F(PeerGateTest, AnAnsweredDialGoesOnWhenThePeerGoesDown) {
  request(1, 2);
  pass(milliseconds(10));
  answer(session(1));
  withdraw(session(2));
  pass(milliseconds(10));
  request(3, 4);
  EXPECT_TRUE(fail(session(3)));
  EXPECT_EQ(gate_.state(), State::down);
  EXPECT_EQ(dials_, (std::set{session(1), session(4)}));
  EXPECT_FALSE(fail(session(1)));
  EXPECT_EQ(gate_.state(), State::down);
  EXPECT_EQ(only_dial(), session(4));
}

TEST_F(PeerGateTest, ASecondOfSilenceStopsAllDialsButOne) {
  request(1, 200);
  pass(seconds(1));
  complain(session(1));
  EXPECT_EQ(gate_.state(), State::down);
  EXPECT_EQ(gate_.last_error(), "no answer");
  EXPECT_EQ(only_dial(), session(1));
  EXPECT_EQ(gate_.waiting(), 199U);
  // The probe may still get through.
  pass(seconds(3));
  answer(session(1));
  EXPECT_EQ(gate_.state(), State::up);
  EXPECT_EQ(dials_.size(), 64U);
}

TEST_F(PeerGateTest, ADialIsNoProofOfSilenceWhileOthersAreAnswered) {
  request(1, 3);
  pass(milliseconds(900));
  attach(session(2));
  pass(milliseconds(100));
  complain(session(1));
  EXPECT_EQ(gate_.state(), State::up);
  // Their answer took 900 ms, so a pause of twice that says nothing.
  const TimePoint verdict = now_ - milliseconds(100) + milliseconds(1800);
  EXPECT_EQ(gate_.deadline(), verdict);
  pass(verdict - now_ - Duration(1));
  EXPECT_EQ(gate_.state(), State::up);
  pass(Duration(1));
  EXPECT_EQ(gate_.state(), State::down);
  EXPECT_EQ(only_dial(), session(1));
}

TEST_F(PeerGateTest, ASlowPeerIsNotTakenForASilentOne) {
  request(1, 300);
  pass(seconds(1));
  complain(session(1));
  pass(milliseconds(300));
  attach(session(1));
  // From here on it is known to be slow.
  const int cancelled = cancelled_;
  std::size_t attached = 1;
  while (!dials_.empty()) {
    const std::set<SessionId> round = dials_;
    pass(seconds(1));
    for (const SessionId& id : round)
      complain(id);
    ASSERT_EQ(gate_.state(), State::up);
    pass(milliseconds(300));
    for (const SessionId& id : round)
      attach(id);
    attached += round.size();
  }
  EXPECT_EQ(attached, 300U);
  EXPECT_EQ(cancelled_, cancelled);
}

TEST_F(PeerGateTest, AKickProbesAtOnce) {
  go_down(2);
  for (int probe = 0; probe < 10; ++probe) {
    EXPECT_TRUE(fail(only_dial()));
    if (probe < 9) pass(*gate_.deadline() - now_);
  }
  EXPECT_TRUE(dials_.empty());
  gate_.kick(now_);
  run();
  EXPECT_EQ(dials_.size(), 1U);
  // The backoff begins anew as well: the network may not be complete yet.
  EXPECT_TRUE(fail(only_dial()));
  EXPECT_LE(*gate_.deadline() - now_, milliseconds(50));
}

TEST_F(PeerGateTest, AKickDialsAnewForWhoeverWaitsForAnAnswer) {
  request(1, 100);
  answer(session(2));
  now_ += milliseconds(500);
  gate_.kick(now_);
  started_.clear();
  run();
  EXPECT_EQ(cancelled_, 63);
  ASSERT_EQ(started_.size(), 63U);
  EXPECT_EQ(started_[0], session(1));
  EXPECT_EQ(started_[1], session(3));
  EXPECT_EQ(dials_.size(), 64U);
}

TEST_F(PeerGateTest, AStormOfKicksLeavesEachDialItsTime) {
  request(1, 1);
  for (int kick = 0; kick < 1000; ++kick) {
    gate_.kick(now_);
    pass(milliseconds(10));
  }
  EXPECT_LE(turns_[session(1)], 11);
  EXPECT_GE(turns_[session(1)], 9);
}

TEST_F(PeerGateTest, ComesBackFromAnyNumberOfOutages) {
  request(1, 5);
  for (int outage = 0; outage < 3; ++outage) {
    EXPECT_TRUE(fail(*dials_.begin()));
    EXPECT_EQ(gate_.state(), State::down);
    // The backoff of the outage before is forgotten.
    EXPECT_TRUE(fail(only_dial()));
    EXPECT_LE(*gate_.deadline() - now_, milliseconds(100));
    pass(*gate_.deadline() - now_);
    for (int probe = 0; probe < 8; ++probe) {
      EXPECT_TRUE(fail(only_dial()));
      pass(*gate_.deadline() - now_);
    }
    attach(only_dial());
    EXPECT_EQ(gate_.state(), State::up);
    while (!dials_.empty())
      attach(*dials_.begin());
    now_ += seconds(1);
    request(1, 5);
  }
}

TEST_F(PeerGateTest, ReportsOfDialsThatAreNoMoreChangeNothing) {
  request(1, 3);
  withdraw(session(1));
  gate_.answered(session(1), now_);
  gate_.struggling(session(1), "late", now_);
  EXPECT_FALSE(gate_.failed(session(1), "late", now_));
  EXPECT_EQ(gate_.state(), State::unknown);
  EXPECT_EQ(gate_.dialling(), 2U);
}

}  // namespace
}  // namespace backedpipe::test
