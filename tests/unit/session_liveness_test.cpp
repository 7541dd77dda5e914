#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

// --- a client: liveness

TEST_F(ClientSession, AQuickAnswerMeasuresTheRoundTrip) {
  attach(peer_at(0), kStart, milliseconds(20));
  EXPECT_EQ(client_->pipe().round_trip(), milliseconds(20));
  EXPECT_EQ(only(FrameType::ping, client_.say_frames()).size(), 0U);
  EXPECT_EQ(client_->deadline(kStart), at(milliseconds(250))) << "the link has yet to answer";
}

TEST_F(ClientSession, ASlowAnswerMayHaveWaitedForAProcess) {
  attach(peer_at(0), kStart, milliseconds(100));
  EXPECT_EQ(client_->pipe().round_trip(), std::nullopt);
  EXPECT_EQ(only(FrameType::ping, client_.say_frames()).size(), 1U);
}

TEST_F(ClientSession, AMeasurementOfAnEarlierHelloIsForgotten) {
  client_->start(kStart);
  client_.actions();
  ASSERT_TRUE(client_->begin_handshake(1, kStart, nullptr));
  client_->attempt_failed(1, false, at(seconds(1)));
  client_->try_now(at(seconds(1)));
  ASSERT_EQ(client_.actions(), "connect 2");
  ASSERT_TRUE(client_->begin_handshake(2, at(seconds(2)), nullptr));
  welcome(2, peer_at(0), at(milliseconds(2030)));
  EXPECT_EQ(client_->pipe().round_trip(), milliseconds(30));
}

TEST_F(ClientSession, AsksAnIdleLinkSuspectsItAndLetsItGo) {
  attach();
  const auto pings = only(FrameType::ping, client_.say_frames());
  ASSERT_EQ(pings.size(), 1U);
  client_.hear(frame_text(FrameType::pong, 0, pings[0].value));
  EXPECT_EQ(client_->deadline(kStart), at(seconds(5)));
  client_->tick(at(seconds(5)), nullptr);
  EXPECT_EQ(only(FrameType::ping, client_.say_frames(at(seconds(5)))).size(), 1U);
  client_->tick(at(seconds(8)), nullptr);
  EXPECT_TRUE(client_->suspect());
  EXPECT_EQ(client_->pipe().state(), PipeState::connected) << "a suspect link is kept";
  EXPECT_EQ(client_.actions(), "connect 2");
  client_->tick(at(seconds(15)), nullptr);
  EXPECT_FALSE(client_->suspect());
  EXPECT_EQ(client_.actions(), "close 1") << "the candidate is the attempt that goes on";
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
  EXPECT_EQ(client_->pipe().generation(), 2U);
}

// --- a client: links that carry nothing

class ClientOnABadPath : public ClientSession {
 protected:
  void SetUp() override {
    attach(peer_at(0), kStart, Duration{});
    generation_ = 1;
  }

  // Nothing comes on the current link until it is given up for the next one, which is attached.
  // Returns how long that took.
  Duration link_dies() {
    const TimePoint before = now_;
    client_.say(now_);
    while (client_.actions().empty()) {
      now_ = *client_->deadline(now_);
      client_->tick(now_, nullptr);
      client_.say(now_);
    }
    EXPECT_TRUE(client_->begin_handshake(++generation_, now_, nullptr));
    client_.actions();
    welcome(generation_, peer_at(0), now_);
    return now_ - before;
  }

  // Until the link is asked.
  std::vector<SeenFrame> ask() {
    now_ = *client_->deadline(now_);
    client_->tick(now_, nullptr);
    return only(FrameType::ping, client_.say_frames(now_));
  }

  void receives(std::size_t bytes) {
    constexpr std::size_t kPiece = 10;
    for (std::size_t i = 0; i < bytes; i += kPiece) {
      const std::string piece = stream_text(received_, kPiece);
      client_.say(now_);
      client_.hear(data_frame(received_, piece), now_);
      ASSERT_EQ(client_.read(now_), piece);
      received_ += kPiece;
    }
  }

  TimePoint now_ = kStart;
  std::uint64_t generation_ = 0;
  std::uint64_t received_ = 0;
};

TEST_F(ClientOnABadPath, CountsLinksThatDieYoungAndReplacesThemEverMoreSlowly) {
  const Duration first = link_dies();
  EXPECT_EQ(client_->fruitless_links(), 1U);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(link_dies(), first) << "meanwhile smaller segments are tried";
  const Duration fifth = link_dies();
  EXPECT_GT(fifth, first);
  EXPECT_GT(link_dies(), fifth);
  EXPECT_EQ(client_->fruitless_links(), 6U);
}

TEST_F(ClientOnABadPath, ALargePacketsWorthOfDataSaysThatThePathWorks) {
  link_dies();
  receives(1000);
  link_dies();
  EXPECT_EQ(client_->fruitless_links(), 2U) << "small packets pass";
  receives(1220);
  EXPECT_EQ(client_->fruitless_links(), 0U);
}

TEST_F(ClientOnABadPath, ALinkThatHasAnsweredAndOwesLittleWasNotLostToItsPackets) {
  for (const SeenFrame& ping : ask())
    client_.hear(frame_text(FrameType::pong, 0, ping.value), now_);
  link_dies();
  EXPECT_EQ(client_->fruitless_links(), 0U);
}

TEST_F(ClientOnABadPath, ALinkThatHasLastedSaysThatThePathWorks) {
  link_dies();
  ASSERT_EQ(client_->fruitless_links(), 1U);
  while (now_ < at(seconds(25))) {
    now_ = *client_->deadline(now_);
    client_->tick(now_, nullptr);
    for (const SeenFrame& ping : only(FrameType::ping, client_.say_frames(now_)))
      client_.hear(frame_text(FrameType::pong, 0, ping.value), now_);
  }
  link_dies();
  EXPECT_EQ(client_->fruitless_links(), 0U);
}

TEST_F(ClientOnABadPath, AChangedNetworkIsAnotherPath) {
  link_dies();
  client_->distrust(now_, nullptr);
  EXPECT_EQ(client_->fruitless_links(), 0U);
}

// --- a client: make before break

class SuspiciousClient : public ClientSession {
 protected:
  // Attached at generation 1; everything has been answered, and then nothing more comes.
  void SetUp() override {
    attach();
    const auto pings = only(FrameType::ping, client_.say_frames());
    client_.hear(frame_text(FrameType::pong, 0, pings.at(0).value));
    client_->tick(at(seconds(5)), nullptr);
    question_ = only(FrameType::ping, client_.say_frames(at(seconds(5)))).at(0).value;
    client_->tick(at(seconds(8)), nullptr);
    ASSERT_EQ(client_.actions(), "connect 2");
  }

  std::uint64_t question_ = 0;
};

TEST_F(SuspiciousClient, KeepsTheLinkUntilTheCandidateIsReadyForItsHello) {
  client_.write("abc");
  EXPECT_FALSE(client_.say(at(seconds(8))).empty()) << "the suspect link is still written to";
  const auto hello = client_->begin_handshake(2, at(seconds(9)), nullptr);
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->open);
  EXPECT_EQ(client_.actions(), "close 1");
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
  EXPECT_EQ(client_->detached_since(), at(seconds(9)));
  welcome(2, peer_at(0), at(seconds(9)));
  EXPECT_EQ(client_->pipe().state(), PipeState::connected);
  EXPECT_EQ(payload_of(client_.say_frames(at(seconds(9)))), "abc") << "the server lacked it";
}

TEST_F(SuspiciousClient, DropsTheCandidateWhenTheLinkAnswers) {
  client_.hear(frame_text(FrameType::pong, 0, question_), at(seconds(9)));
  EXPECT_EQ(client_.actions(), "close 2");
  EXPECT_FALSE(client_->suspect());
  EXPECT_FALSE(client_->begin_handshake(2, at(seconds(9)), nullptr))
      << "its transport is ready too late";
  EXPECT_EQ(client_->pipe().generation(), 1U);
  EXPECT_EQ(client_->pipe().state(), PipeState::connected);
  EXPECT_EQ(client_->links(), 1U);
}

TEST_F(SuspiciousClient, KnowsTheAnswerAlsoWhenItHasTheNextQuestionAtOnce) {
  client_.hear(frame_text(FrameType::pong, 0, question_) + data_frame(0, "late"), at(seconds(9)));
  EXPECT_TRUE(client_->pipe().ping_asked_at()) << "so late an answer is measured again";
  EXPECT_EQ(client_.actions(), "close 2");
  EXPECT_FALSE(client_->suspect());
}

// The peer's TCP retransmits what was lost; that does not show that our own bytes arrive.
TEST_F(SuspiciousClient, KeepsTheCandidateWhenBytesComeThatAreNoAnswer) {
  client_.hear(data_frame(0, "late"), at(seconds(9)));
  EXPECT_EQ(client_.take(4, at(seconds(9))), "late");
  EXPECT_EQ(client_.actions(), "");
  EXPECT_TRUE(client_->suspect());
  const auto hello = client_->begin_handshake(2, at(seconds(10)), nullptr);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->position.received, 4U) << "and not sent again";
}

TEST_F(SuspiciousClient, NeverUsesAGenerationTwice) {
  client_.hear(frame_text(FrameType::pong, 0, question_), at(seconds(9)));
  ASSERT_EQ(client_.actions(), "close 2");
  client_->distrust(at(seconds(10)), nullptr);
  EXPECT_EQ(client_.actions(), "connect 3");
}

TEST_F(SuspiciousClient, TriesAgainWithAPauseWhenACandidateFails) {
  client_->attempt_failed(2, false, at(seconds(9)));
  EXPECT_EQ(client_->pipe().state(), PipeState::connected);
  const auto next = client_->next_attempt();
  ASSERT_TRUE(next);
  EXPECT_GT(*next, at(seconds(9)));
  EXPECT_EQ(client_->deadline(at(seconds(9))), next);
  client_->tick(*next, nullptr);
  EXPECT_EQ(client_.actions(), "connect 3");
}

// An attacker in the middle may forge that the server does not accept us.
TEST_F(SuspiciousClient, ARejectedCandidateEndsNothing) {
  client_->attempt_failed(2, true, at(seconds(9)));
  EXPECT_FALSE(client_->over());
  EXPECT_EQ(client_->pipe().generation(), 1U);
}

TEST_F(SuspiciousClient, GoesOnWithTheCandidateWhenTheLinkIsLost) {
  client_.lose_link(at(seconds(9)));
  EXPECT_EQ(client_.actions(), "") << "no second attempt";
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
  ASSERT_TRUE(client_->begin_handshake(2, at(seconds(9)), nullptr));
  welcome(2);
  EXPECT_EQ(client_->links(), 2U);
}

TEST_F(SuspiciousClient, WaitsOnlyForTheNextCandidateWhenTheLinkIsLostInBetween) {
  client_->attempt_failed(2, false, at(seconds(9)));
  const auto next = client_->next_attempt();
  client_.lose_link(at(seconds(9)));
  EXPECT_EQ(client_.actions(), "");
  EXPECT_EQ(client_->next_attempt(), next) << "the pause is not made longer";
}

TEST_F(SuspiciousClient, AForcedReconnectTakesTheCandidate) {
  EXPECT_TRUE(client_->reconnect(at(seconds(9))));
  EXPECT_EQ(client_.actions(), "close 1");
  EXPECT_EQ(client_->pipe().generation(), 2U);
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
}

TEST_F(SuspiciousClient, HearsTheEndFromTheLinkThatItSuspects) {
  client_.hear(reset_frame(Reason::closed_by_operator), at(seconds(9)));
  EXPECT_EQ(client_.actions(),
            "close 2; reset application: closed_by_operator; close 1; ended: closed_by_operator");
}

// Attached over a path of 300 ms, where the patience is 1.8 s. A PING is out, and nothing comes.
class SlowClient : public ClientSession {
 protected:
  void SetUp() override {
    attach(peer_at(0), kStart, milliseconds(300));
    const auto pings = only(FrameType::ping, client_.say_frames());
    client_.hear(frame_text(FrameType::pong, 0, pings.at(0).value), at(milliseconds(300)));
    client_->ask(at(seconds(1)));
    client_->tick(at(seconds(1)), nullptr);
  }

  // A witness that gives one answer, once.
  struct Tcp final : TcpWitness {
    std::optional<TcpAnswer> tcp_answer(TimePoint) override {
      ++asked;
      return std::exchange(answer, std::nullopt);
    }
    std::optional<TcpAnswer> answer;
    int asked = 0;
  };

  void tcp_has_answered(Duration since_start, Duration round_trip = milliseconds(300)) {
    tcp_.answer = TcpAnswer{.at = at(since_start), .round_trip = round_trip};
  }

  static constexpr TimePoint kDue = at(milliseconds(2800));
  Tcp tcp_;
};

TEST_F(SlowClient, AsksTcpWhenItsPatienceEnds) {
  EXPECT_EQ(client_->deadline(at(seconds(1))), kDue);
  client_->tick(kDue - milliseconds(1), &tcp_);
  EXPECT_EQ(tcp_.asked, 0);
  client_->tick(kDue, &tcp_);
  EXPECT_EQ(tcp_.asked, 1);
  EXPECT_EQ(client_.actions(), "connect 2");
  client_->tick(kDue, &tcp_);
  EXPECT_EQ(tcp_.asked, 1) << "it knows by now";
}

TEST_F(SlowClient, SuspectsALinkWhoseTcpNobodyCanAsk) {
  client_->tick(kDue, nullptr);
  EXPECT_EQ(client_.actions(), "connect 2");
}

TEST_F(SlowClient, DialsNobodyBesideALinkWhoseTcpGetsOn) {
  tcp_has_answered(milliseconds(2700));
  client_->tick(kDue, &tcp_);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_FALSE(client_->suspect());
  const TimePoint next = at(milliseconds(4500));
  EXPECT_EQ(client_->deadline(kDue), next);
  client_->tick(next, &tcp_);
  EXPECT_EQ(client_.actions(), "connect 2") << "nothing more was heard";
}

TEST_F(SlowClient, SuspectsALinkWhoseTcpHeardNothingLately) {
  tcp_has_answered(milliseconds(900));
  client_->tick(kDue, &tcp_);
  EXPECT_TRUE(client_->suspect());
}

TEST_F(SlowClient, DoesNotBelieveARelay) {
  tcp_has_answered(milliseconds(2700), milliseconds(1));
  client_->tick(kDue, &tcp_);
  EXPECT_TRUE(client_->suspect());
}

TEST_F(SlowClient, DropsTheCandidateOfALinkWhoseTcpGetsOn) {
  client_->tick(kDue, &tcp_);
  ASSERT_EQ(client_.actions(), "connect 2");
  tcp_has_answered(milliseconds(3100));
  EXPECT_FALSE(client_->begin_handshake(2, at(milliseconds(3200)), &tcp_));
  EXPECT_EQ(client_.actions(), "close 2");
  EXPECT_FALSE(client_->suspect());
  EXPECT_EQ(client_->pipe().generation(), 1U);
}

TEST_F(SlowClient, WhatTcpHeardBeforeADistrustDoesNotCount) {
  tcp_has_answered(milliseconds(1500));
  client_->distrust(at(milliseconds(1600)), &tcp_);
  ASSERT_EQ(client_.actions(), "connect 2");
  EXPECT_TRUE(client_->begin_handshake(2, at(milliseconds(1700)), &tcp_));
}

TEST_F(SlowClient, IsDoneWithALinkThatIsLostWhateverItsTcpHeard) {
  client_.lose_link(kDue);
  client_.actions();
  tcp_has_answered(milliseconds(2800));
  client_->tick(kDue, &tcp_);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_NE(client_->pipe().state(), PipeState::connected);
}

TEST_F(ClientSession, DistrustDialsBesideAHealthyLinkAtOnce) {
  attach_usefully();
  client_->distrust(at(seconds(1)), nullptr);
  EXPECT_EQ(client_.actions(), "connect 2");
  EXPECT_TRUE(client_->suspect());
  EXPECT_EQ(only(FrameType::ping, client_.say_frames(at(seconds(1)))).size(), 1U)
      << "the link may prove that it is alive";
  client_->distrust(at(seconds(1)), nullptr);
  EXPECT_EQ(client_.actions(), "") << "one candidate at a time";
}

TEST_F(ClientSession, DistrustDoesNotWaitForThePauseBetweenCandidates) {
  attach_usefully();
  client_->distrust(at(seconds(1)), nullptr);
  client_->attempt_failed(2, false, at(seconds(1)));
  client_->distrust(at(seconds(1)), nullptr);
  EXPECT_EQ(client_.actions(), "connect 2; connect 3");
}

TEST_F(ClientSession, TryingNowEndsThePauseAndStartsNothingElse) {
  attach_usefully();
  client_->try_now(kStart);
  EXPECT_EQ(client_.actions(), "") << "it has a link that nobody suspects";
  client_.lose_link();
  client_->attempt_failed(2, false, kStart);
  ASSERT_GT(client_->next_attempt(), kStart);
  client_->try_now(kStart);
  EXPECT_EQ(client_.actions(), "connect 2; connect 3");
  client_->try_now(kStart);
  EXPECT_EQ(client_.actions(), "") << "an attempt is under way";
}

TEST_F(ClientSession, AnAnswerAloneClearsTheSuspicion) {
  attach();
  const auto pings = only(FrameType::ping, client_.say_frames());
  client_->tick(at(seconds(3)), nullptr);
  ASSERT_TRUE(client_->suspect());
  client_.hear(frame_text(FrameType::ack, 0), at(seconds(4)));
  EXPECT_TRUE(client_->suspect());
  client_.hear(frame_text(FrameType::pong, 0, pings.at(0).value), at(seconds(4)));
  EXPECT_FALSE(client_->suspect());
}

TEST_F(ClientSession, BytesThatAreNotFramesCostTheLinkAlone) {
  attach_usefully();
  client_.hear(std::string(64, '\xff'));
  EXPECT_EQ(client_.actions(), "close 1");
  EXPECT_FALSE(client_->over());
  EXPECT_GE(await_attempt(), kStart + milliseconds(25)) << "not without a pause";
  EXPECT_EQ(client_.actions(), "connect 2");
}

}  // namespace
}  // namespace backedpipe::test
