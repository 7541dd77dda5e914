#include "session/session.hpp"

#include <array>
#include <memory>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;

const SessionId kId = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");
constexpr TimePoint kStart = at(seconds(0));

SessionOptions small_options() {
  SessionOptions options;
  options.pipe = kSmallPipe;
  return options;
}

// A session, its memory, and an application that writes and reads when the test says so.
class Subject {
 public:
  explicit Subject(Role role)
      : session_(
            std::make_unique<Session>(Session::Identity{.id = kId, .role = role, .service = "ssh"},
                                      *pool_, small_options(), 1, kStart)) {}

  Session& operator*() { return *session_; }
  Session* operator->() { return session_.get(); }
  std::size_t segments_in_use() { return pool_->segments_in_use(); }

  // What is to be done, in words: "connect 1; close 1; reset application: expired; ended: expired".
  std::string actions() {
    std::string words;
    while (const auto action = session_->next_action()) {
      if (!words.empty()) words += "; ";
      switch (action->kind) {
        case Session::Action::Kind::connect:
          words += "connect " + std::to_string(action->generation);
          break;
        case Session::Action::Kind::close_link:
          words += "close " + std::to_string(action->generation);
          break;
        case Session::Action::Kind::reset_application:
          words += "reset application: " + std::string(name(action->reason));
          break;
        case Session::Action::Kind::ended:
          words += "ended: " + std::string(name(action->reason));
          break;
      }
    }
    return words;
  }

  void write(std::string_view text) {
    ASSERT_EQ(session_->pipe().write(bytes_of(text)), text.size());
  }
  void finish() { session_->pipe().finish(); }

  // The application reads what there is, the end of the stream included, as "$".
  std::string read(TimePoint now = kStart) {
    std::string text = deliverable_text(session_->pipe());
    if (!text.empty()) session_->delivered(text.size(), now);
    if (session_->pipe().end_due()) {
      session_->end_delivered(now);
      text += "$";
    }
    return text;
  }

  std::string offers(TimePoint now) {
    std::array<ConstBytes, 64> pieces;
    return text_of(std::span(pieces).first(session_->outgoing(now, pieces)));
  }

  // Everything the session has for its link goes out.
  std::string say(TimePoint now = kStart) {
    std::string all;
    for (std::string text; !(text = offers(now)).empty();) {
      session_->sent(session_->pipe().generation(), text.size());
      all += text;
    }
    return all;
  }
  std::vector<SeenFrame> say_frames(TimePoint now = kStart) { return frames_in(say(now)); }

  void hear(std::string_view link_text, TimePoint now = kStart) {
    session_->receive(session_->pipe().generation(), bytes_of(link_text), now);
  }

  // The current link is lost.
  void lose_link(TimePoint now = kStart) {
    session_->link_lost(link_error(session_->pipe().generation()), now);
  }

  // The process is replaced: the session goes on, from its snapshot, in new memory.
  void move_to_new_process(TimePoint now = kStart) {
    const std::vector<std::byte> state = session_->snapshot();
    auto pool = std::make_unique<ArenaPool>();
    auto session = std::make_unique<Session>(Session::Identity{}, **pool, small_options(), 2, now);
    ASSERT_TRUE(session->restore(state).has_value());
    EXPECT_EQ(session->snapshot(), state);
    session_ = std::move(session);
    new_pool_ = std::move(pool);
  }

 private:
  ArenaPool pool_;
  std::unique_ptr<ArenaPool> new_pool_;
  std::unique_ptr<Session> session_;
};

bool contains_reset(const std::vector<SeenFrame>& frames, Reason reason) {
  const auto resets = only(FrameType::reset, frames);
  return resets.size() == 1 && resets[0].value == static_cast<std::uint64_t>(reason);
}

std::string reset_frame(Reason reason, std::uint64_t acknowledgement = 0) {
  return frame_text(FrameType::reset, acknowledgement, static_cast<std::uint64_t>(reason));
}

// --- a client, whose server is the test

class ClientSession : public testing::Test {
 protected:
  // Dials and is welcomed by a server at this position, which takes so long to answer that this
  // says nothing of the round trip.
  void attach(const Position& server = peer_at(0), TimePoint now = kStart,
              Duration answered_after = milliseconds(100)) {
    if (client_->pipe().generation() == 0) client_->start(now);
    client_.actions();
    const std::uint64_t generation = client_->pipe().generation();
    ASSERT_TRUE(client_->hello(generation, now - answered_after));
    welcome(generation, server, now);
  }

  void welcome(std::uint64_t generation, const Position& server = peer_at(0),
               TimePoint now = kStart) {
    client_->welcomed({.session = kId,
                       .generation = generation,
                       .position = server,
                       .created = false,
                       .reuse = server_reuses_links_},
                      now);
  }

  // A link that has proved useful.
  void attach_usefully() {
    attach(peer_at(0), kStart - seconds(1));
    client_.hear(frame_text(FrameType::ack, 0));
  }

  // When its next attempt is due, it begins.
  TimePoint await_attempt() {
    const auto next = client_->next_attempt();
    EXPECT_TRUE(next);
    client_->tick(next.value_or(kStart));
    return next.value_or(kStart);
  }

  Subject client_{Role::client};
  bool server_reuses_links_ = true;
};

TEST_F(ClientSession, DialsAtOnceWhenStarted) {
  client_->start(kStart);
  EXPECT_EQ(client_.actions(), "connect 1");
}

TEST_F(ClientSession, RepeatsTheOpeningHelloUntilItIsWelcomed) {
  client_->start(kStart);
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    EXPECT_EQ(client_.actions(), "connect " + std::to_string(generation));
    const auto hello = client_->hello(generation, kStart);
    ASSERT_TRUE(hello);
    EXPECT_TRUE(hello->open);
    EXPECT_EQ(hello->service, "ssh");
    EXPECT_EQ(hello->session, kId);
    client_->attempt_failed(generation, false, kStart);
    await_attempt();
  }
  ASSERT_TRUE(client_->hello(4, kStart));
  welcome(4);
  client_.lose_link();
  await_attempt();
  const auto resume = client_->hello(5, kStart);
  ASSERT_TRUE(resume);
  EXPECT_FALSE(resume->open);
  EXPECT_EQ(resume->service, "");
}

TEST_F(ClientSession, GivesNoHelloForAnAttemptThatIsNotCurrent) {
  client_->start(kStart);
  EXPECT_FALSE(client_->hello(2, kStart));
  client_->attempt_failed(1, false, kStart);
  EXPECT_FALSE(client_->hello(1, kStart));
}

TEST_F(ClientSession, RejectedBeforeTheFirstWelcomeItEnds) {
  client_->start(kStart);
  client_->attempt_failed(1, true, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 1; reset application: not_authorised; ended: not_authorised");
  EXPECT_TRUE(client_->ended());
}

TEST_F(ClientSession, RejectedLaterItTriesAgain) {
  attach_usefully();
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "connect 2");
  client_->attempt_failed(2, true, kStart);
  EXPECT_EQ(client_.actions(), "");
  await_attempt();
  EXPECT_EQ(client_.actions(), "connect 3");
}

TEST_F(ClientSession, ATransientRefusalIsTriedAgain) {
  client_->start(kStart);
  client_->refused(1, Reason::overloaded, kStart);
  EXPECT_EQ(client_.actions(), "connect 1");
  EXPECT_GT(await_attempt(), kStart);
  EXPECT_EQ(client_.actions(), "connect 2");
}

TEST_F(ClientSession, AnAttemptOnALinkThatWasDeadIsFollowedByAnotherAtOnce) {
  client_->start(kStart);
  ASSERT_TRUE(client_->hello(1, kStart));
  client_->attempt_void(1, kStart);
  EXPECT_EQ(client_.actions(), "connect 1; connect 2");
  client_->attempt_void(1, kStart);
  EXPECT_EQ(client_.actions(), "") << "that is no news";
  const auto hello = client_->hello(2, kStart);
  ASSERT_TRUE(hello);
  EXPECT_TRUE(hello->open);
}

TEST_F(ClientSession, APermanentRefusalEndsIt) {
  client_->start(kStart);
  client_->refused(1, Reason::unknown_service, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 1; reset application: unknown_service; ended: unknown_service");
}

TEST_F(ClientSession, ARefusalOfAnotherAttemptIsNoNews) {
  client_->start(kStart);
  client_->attempt_failed(1, false, kStart);
  await_attempt();
  client_->refused(1, Reason::unknown_service, kStart);
  EXPECT_EQ(client_.actions(), "connect 1; connect 2");
}

TEST_F(ClientSession, AWelcomeForAnAttemptThatWasGivenUpIsNoNews) {
  client_->start(kStart);
  ASSERT_TRUE(client_->hello(1, kStart));
  client_->attempt_failed(1, false, kStart);
  client_.actions();
  welcome(1);
  EXPECT_EQ(client_->pipe().state(), PipeState::disconnected);
  EXPECT_EQ(client_->links(), 0U);
  // Nor does one whose offsets would not fit.
  welcome(1, peer_at(100));
  EXPECT_EQ(client_.actions(), "");
}

TEST_F(ClientSession, GoesFromGenerationToGeneration) {
  attach_usefully();
  client_.lose_link();
  EXPECT_EQ(client_->pipe().generation(), 2U) << "by itself";
  attach();
  EXPECT_TRUE(client_->reconnect(kStart));
  EXPECT_EQ(client_->pipe().generation(), 3U) << "forced";
}

TEST_F(ClientSession, ThreeForcedReconnectsMakeOneAttempt) {
  attach_usefully();
  EXPECT_TRUE(client_->reconnect(kStart));
  EXPECT_TRUE(client_->reconnect(kStart));
  EXPECT_TRUE(client_->reconnect(kStart));
  EXPECT_EQ(client_.actions(), "close 1; connect 2");
}

TEST_F(ClientSession, AForcedReconnectDoesNotWaitForTheBackoff) {
  client_->start(kStart);
  client_->attempt_failed(1, false, kStart);
  client_.actions();
  EXPECT_TRUE(client_->reconnect(kStart));
  EXPECT_EQ(client_.actions(), "connect 2");
}

TEST_F(ClientSession, AnEndedSessionDoesNotReconnect) {
  client_->start(kStart);
  client_->refused(1, Reason::unknown_service, kStart);
  client_.actions();
  EXPECT_FALSE(client_->reconnect(kStart));
  EXPECT_EQ(client_.actions(), "");
}

TEST_F(ClientSession, ALinkThatCarriedNothingIsFollowedByAPause) {
  attach();
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "");
  EXPECT_GE(await_attempt(), kStart + milliseconds(25));
}

TEST_F(ClientSession, ALinkThatCarriedSignsOfLifeOnlyIsFollowedByAPause) {
  for (const FrameType type : {FrameType::ack, FrameType::ping, FrameType::window}) {
    Subject client(Role::client);
    client->start(kStart);
    ASSERT_TRUE(client->hello(1, kStart));
    client->welcomed({.session = kId, .generation = 1, .position = peer_at(0), .created = true},
                     kStart);
    client.hear(frame_text(type, 0));
    client.actions();
    client.lose_link();
    EXPECT_EQ(client.actions(), "") << "after frame " << static_cast<int>(type);
    EXPECT_GE(client->next_attempt(), kStart + milliseconds(25));
  }
}

TEST_F(ClientSession, ALinkThatBroughtTheSessionForwardIsFollowedByTheNextAtOnce) {
  attach();
  client_.hear(data_frame(0, "x"));
  client_.actions();
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "connect 2") << "something was received";

  attach();
  client_.write("y");
  client_.say();
  client_.hear(frame_text(FrameType::ack, 1));
  client_.actions();
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "connect 3") << "something was acknowledged";
}

TEST_F(ClientSession, TheSecondErrorOfALinkIsNoNews) {
  attach_usefully();
  client_.lose_link();
  client_->link_lost(link_error(1, LinkError::Component::writer), kStart);
  EXPECT_EQ(client_.actions(), "connect 2");
}

TEST_F(ClientSession, ResumesFromWhatItHasReceived) {
  attach();
  client_.hear(data_frame(0, "abcdef"));
  ASSERT_EQ(deliver(client_->pipe(), kStart, 2), "ab");
  client_.lose_link();
  const auto hello = client_->hello(2, kStart);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->position.delivered, 2U);
  EXPECT_EQ(hello->position.received, 6U);
}

// --- a client: liveness

TEST_F(ClientSession, AQuickAnswerMeasuresTheRoundTrip) {
  attach(peer_at(0), kStart, milliseconds(20));
  EXPECT_EQ(client_->pipe().round_trip(), milliseconds(20));
  EXPECT_EQ(only(FrameType::ping, client_.say_frames()).size(), 0U);
  EXPECT_EQ(client_->deadline(kStart), at(seconds(5))) << "nothing is owed";
}

TEST_F(ClientSession, ASlowAnswerMayHaveWaitedForAProcess) {
  attach(peer_at(0), kStart, milliseconds(100));
  EXPECT_EQ(client_->pipe().round_trip(), std::nullopt);
  EXPECT_EQ(only(FrameType::ping, client_.say_frames()).size(), 1U);
}

TEST_F(ClientSession, AMeasurementOfAnEarlierHelloIsForgotten) {
  client_->start(kStart);
  client_.actions();
  ASSERT_TRUE(client_->hello(1, kStart));
  client_->attempt_failed(1, false, at(seconds(1)));
  client_->try_now(at(seconds(1)));
  ASSERT_EQ(client_.actions(), "connect 2");
  ASSERT_TRUE(client_->hello(2, at(seconds(2))));
  welcome(2, peer_at(0), at(milliseconds(2030)));
  EXPECT_EQ(client_->pipe().round_trip(), milliseconds(30));
}

TEST_F(ClientSession, AsksAnIdleLinkSuspectsItAndLetsItGo) {
  attach();
  const auto pings = only(FrameType::ping, client_.say_frames());
  ASSERT_EQ(pings.size(), 1U);
  client_.hear(frame_text(FrameType::pong, 0, pings[0].value));
  EXPECT_EQ(client_->deadline(kStart), at(seconds(5)));
  client_->tick(at(seconds(5)));
  EXPECT_EQ(only(FrameType::ping, client_.say_frames(at(seconds(5)))).size(), 1U);
  client_->tick(at(seconds(8)));
  EXPECT_TRUE(client_->suspect());
  EXPECT_EQ(client_->pipe().state(), PipeState::connected) << "a suspect link is kept";
  EXPECT_EQ(client_.actions(), "connect 2");
  client_->tick(at(seconds(15)));
  EXPECT_FALSE(client_->suspect());
  EXPECT_EQ(client_.actions(), "close 1") << "the candidate is the attempt that goes on";
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
  EXPECT_EQ(client_->pipe().generation(), 2U);
}

// --- a client: make before break

class SuspiciousClient : public ClientSession {
 protected:
  // Attached at generation 1; everything has been answered, and then nothing more comes.
  void SetUp() override {
    attach();
    const auto pings = only(FrameType::ping, client_.say_frames());
    client_.hear(frame_text(FrameType::pong, 0, pings.at(0).value));
    client_->tick(at(seconds(5)));
    question_ = only(FrameType::ping, client_.say_frames(at(seconds(5)))).at(0).value;
    client_->tick(at(seconds(8)));
    ASSERT_EQ(client_.actions(), "connect 2");
  }

  std::uint64_t question_ = 0;
};

TEST_F(SuspiciousClient, KeepsTheLinkUntilTheCandidateIsReadyForItsHello) {
  client_.write("abc");
  EXPECT_FALSE(client_.say(at(seconds(8))).empty()) << "the suspect link is still written to";
  const auto hello = client_->hello(2, at(seconds(9)));
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
  EXPECT_FALSE(client_->hello(2, at(seconds(9)))) << "its transport is ready too late";
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

// The peer's TCP repeats what was lost, while what this side has sent may still be on its way.
TEST_F(SuspiciousClient, KeepsTheCandidateWhenBytesComeThatAreNoAnswer) {
  client_.hear(data_frame(0, "late"), at(seconds(9)));
  EXPECT_EQ(deliver(client_->pipe(), at(seconds(9)), 4), "late");
  EXPECT_EQ(client_.actions(), "");
  EXPECT_TRUE(client_->suspect());
  const auto hello = client_->hello(2, at(seconds(10)));
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->position.received, 4U) << "and not sent again";
}

TEST_F(SuspiciousClient, NeverUsesAGenerationTwice) {
  client_.hear(frame_text(FrameType::pong, 0, question_), at(seconds(9)));
  ASSERT_EQ(client_.actions(), "close 2");
  client_->distrust(at(seconds(10)));
  EXPECT_EQ(client_.actions(), "connect 3");
}

TEST_F(SuspiciousClient, TriesAgainWithAPauseWhenACandidateFails) {
  client_->attempt_failed(2, false, at(seconds(9)));
  EXPECT_EQ(client_->pipe().state(), PipeState::connected);
  const auto next = client_->next_attempt();
  ASSERT_TRUE(next);
  EXPECT_GT(*next, at(seconds(9)));
  EXPECT_EQ(client_->deadline(at(seconds(9))), next);
  client_->tick(*next);
  EXPECT_EQ(client_.actions(), "connect 3");
}

// Somebody in the middle may forge that the server does not accept us.
TEST_F(SuspiciousClient, ARejectedCandidateEndsNothing) {
  client_->attempt_failed(2, true, at(seconds(9)));
  EXPECT_FALSE(client_->ended());
  EXPECT_EQ(client_->pipe().generation(), 1U);
}

TEST_F(SuspiciousClient, GoesOnWithTheCandidateWhenTheLinkIsLost) {
  client_.lose_link(at(seconds(9)));
  EXPECT_EQ(client_.actions(), "") << "no second attempt";
  EXPECT_EQ(client_->pipe().state(), PipeState::reconnecting);
  ASSERT_TRUE(client_->hello(2, at(seconds(9))));
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

// Attached over a way of 300 ms, on which patience ends after 1.8 s; a question is out, and nothing
// comes.
class SlowClient : public ClientSession {
 protected:
  void SetUp() override {
    attach(peer_at(0), kStart, milliseconds(300));
    const auto pings = only(FrameType::ping, client_.say_frames());
    client_.hear(frame_text(FrameType::pong, 0, pings.at(0).value), at(milliseconds(300)));
    client_->ask(at(seconds(1)));
    client_->tick(at(seconds(1)));
  }

  void tcp_answered(Duration since_start, TimePoint now, Duration round_trip = milliseconds(300)) {
    client_->tcp_answered({.at = at(since_start), .round_trip = round_trip}, now);
  }

  static constexpr TimePoint kDue = at(milliseconds(2800));
};

TEST_F(SlowClient, DoubtsWhenItsPatienceEnds) {
  EXPECT_EQ(client_->deadline(at(seconds(1))), kDue);
  EXPECT_FALSE(client_->doubts(kDue - milliseconds(1)));
  EXPECT_TRUE(client_->doubts(kDue));
  client_->tick(kDue);
  EXPECT_EQ(client_.actions(), "connect 2");
  EXPECT_FALSE(client_->doubts(kDue)) << "it knows by now";
}

TEST_F(SlowClient, DialsNobodyBesideALinkWhoseTcpGetsOn) {
  tcp_answered(milliseconds(2700), kDue);
  EXPECT_FALSE(client_->doubts(kDue));
  client_->tick(kDue);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_FALSE(client_->suspect());
  const TimePoint next = at(milliseconds(4500));
  EXPECT_EQ(client_->deadline(kDue), next);
  client_->tick(next);
  EXPECT_EQ(client_.actions(), "connect 2") << "nothing more was heard";
}

TEST_F(SlowClient, SuspectsALinkWhoseTcpHeardNothingLately) {
  tcp_answered(milliseconds(900), kDue);
  EXPECT_TRUE(client_->doubts(kDue));
}

TEST_F(SlowClient, DoesNotBelieveARelay) {
  tcp_answered(milliseconds(2700), kDue, milliseconds(1));
  EXPECT_TRUE(client_->doubts(kDue));
}

TEST_F(SlowClient, DropsTheCandidateOfALinkWhoseTcpGetsOn) {
  client_->tick(kDue);
  ASSERT_EQ(client_.actions(), "connect 2");
  tcp_answered(milliseconds(3100), at(milliseconds(3200)));
  EXPECT_EQ(client_.actions(), "close 2");
  EXPECT_FALSE(client_->suspect());
  EXPECT_FALSE(client_->hello(2, at(milliseconds(3200))));
  EXPECT_EQ(client_->pipe().generation(), 1U);
}

TEST_F(SlowClient, IsDoneWithALinkThatIsLostWhateverItsTcpHeard) {
  client_.lose_link(kDue);
  client_.actions();
  tcp_answered(milliseconds(2800), kDue);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_NE(client_->pipe().state(), PipeState::connected);
}

TEST_F(ClientSession, DistrustDialsBesideAHealthyLinkAtOnce) {
  attach_usefully();
  client_->distrust(at(seconds(1)));
  EXPECT_EQ(client_.actions(), "connect 2");
  EXPECT_TRUE(client_->suspect());
  EXPECT_EQ(only(FrameType::ping, client_.say_frames(at(seconds(1)))).size(), 1U)
      << "the link may prove that it is alive";
  client_->distrust(at(seconds(1)));
  EXPECT_EQ(client_.actions(), "") << "one candidate at a time";
}

TEST_F(ClientSession, DistrustDoesNotWaitForThePauseBetweenCandidates) {
  attach_usefully();
  client_->distrust(at(seconds(1)));
  client_->attempt_failed(2, false, at(seconds(1)));
  client_->distrust(at(seconds(1)));
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
  client_->tick(at(seconds(3)));
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
  EXPECT_FALSE(client_->ended());
  EXPECT_GE(await_attempt(), kStart + milliseconds(25)) << "not without a pause";
  EXPECT_EQ(client_.actions(), "connect 2");
}

// --- a client: how it ends

// Both directions have ended here; the server has acknowledged `acknowledged`.
class FinishedClient : public ClientSession {
 protected:
  void finish(std::uint64_t acknowledged) {
    attach();
    client_.write("abc");
    client_.finish();
    client_.say();
    client_.hear(data_frame(0, "xy") + frame_text(FrameType::fin, acknowledged, 2));
    ASSERT_EQ(client_.read(), "xy$");
    client_.say();
  }
};

TEST_F(FinishedClient, LingersUntilTheServerSaysClosed) {
  finish(4);
  EXPECT_TRUE(client_->application_done());
  EXPECT_FALSE(client_->ended());
  EXPECT_EQ(client_.actions(), "");
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_EQ(client_.actions(), "close 1; ended: closed");
  EXPECT_EQ(client_.segments_in_use(), 0U);
}

TEST_F(FinishedClient, LeavesALinkThatIsGoodForAnotherSession) {
  finish(4);
  EXPECT_FALSE(client_->link_reusable());
  // Who ends the session in the same breath as asking something wants no answer.
  client_.hear(frame_text(FrameType::ping, 4, 7) + reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->link_reusable());
  EXPECT_EQ(client_.say(), "") << "it would be taken for a HELLO";
}

TEST_F(FinishedClient, LeavesNoneToAServerThatDoesNotReuseIt) {
  server_reuses_links_ = false;
  finish(4);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->ended());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichItHasSaidMoreThanTheServerNeeded) {
  finish(4);
  // The server may have ended the session before this comes.
  client_.hear(frame_text(FrameType::ping, 4, 7));
  EXPECT_EQ(only(FrameType::pong, client_.say_frames()).size(), 1U);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->ended());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichItIsInTheMiddleOfAFrame) {
  finish(4);
  client_.hear(frame_text(FrameType::ping, 4, 7));
  const std::size_t whole = offered(client_->pipe(), kStart).size();
  client_->sent(1, whole - 1);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->ended());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichSomethingFollowsTheEnd) {
  finish(4);
  client_.hear(reset_frame(Reason::closed, 4) + "B");
  EXPECT_TRUE(client_->ended());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, WhoseHelloToldAllLeavesALinkIfThatWasAllItSaid) {
  finish(4);
  client_.lose_link();
  attach(peer_at(4));
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->link_reusable());
  EXPECT_EQ(client_.say(), "") << "nor its window";
}

TEST_F(FinishedClient, WhoseHelloToldAllLeavesNoneOnWhichItHasSaidMore) {
  finish(4);
  client_.lose_link();
  attach(peer_at(4), kStart, milliseconds(10));
  EXPECT_EQ(client_.say_frames().size(), 1U) << "its window";
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->ended());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, AsksAgainWhenTheLinkIsLostBeforeThat) {
  finish(4);
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "connect 2");
  client_->refused(2, Reason::closed, kStart);
  EXPECT_EQ(client_.actions(), "ended: closed");
}

TEST_F(FinishedClient, IsContentWithAServerThatHasForgottenIt) {
  finish(4);
  client_.lose_link();
  client_->refused(2, Reason::unknown_session, kStart);
  EXPECT_EQ(client_.actions(), "connect 2; ended: closed");
}

TEST_F(FinishedClient, WhoseLastAcknowledgementWasLostIsToldByTheTombstone) {
  finish(3);
  EXPECT_FALSE(client_->application_done());
  client_.lose_link();
  client_->refused(2, Reason::closed, kStart);
  EXPECT_EQ(client_.actions(), "connect 2; ended: closed");
}

TEST_F(FinishedClient, WhoseEndNobodyAcknowledgedTellsItsApplication) {
  finish(3);
  client_.lose_link();
  client_->refused(2, Reason::unknown_session, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 2; reset application: unknown_session; ended: unknown_session");
}

TEST_F(ClientSession, ClosedByTheServerInTheMiddleIsNoCleanEnd) {
  attach();
  client_.hear(reset_frame(Reason::closed));
  EXPECT_EQ(client_.actions(), "reset application: protocol_error; close 1; ended: protocol_error");
}

TEST_F(ClientSession, ATombstoneOfAnUnfinishedSessionIsNoCleanEnd) {
  attach_usefully();
  client_.lose_link();
  client_->refused(2, Reason::closed, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 2; reset application: protocol_error; ended: protocol_error");
}

TEST_F(ClientSession, AnUnknownSessionIsAResetNeverAFreshSession) {
  attach_usefully();
  client_.lose_link();
  client_->refused(2, Reason::unknown_session, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 2; reset application: unknown_session; ended: unknown_session");
}

TEST_F(ClientSession, AResetByTheServerReachesTheApplicationBehindWhatCameBefore) {
  attach();
  client_.hear(data_frame(0, "last words") + reset_frame(Reason::target_refused));
  EXPECT_EQ(client_.read(), "last words");
  EXPECT_EQ(client_.actions(), "reset application: target_refused; close 1; ended: target_refused");
  EXPECT_EQ(client_.segments_in_use(), 0U);
}

TEST_F(ClientSession, ItsApplicationsResetIsRepeatedUntilTheServerHasAnswered) {
  attach_usefully();
  client_.write("abc");
  client_->reset(Reason::application_reset);
  EXPECT_TRUE(client_->application_done());
  EXPECT_EQ(client_.actions(), "") << "it was the one to ask";
  EXPECT_TRUE(contains_reset(client_.say_frames(), Reason::application_reset));
  client_.lose_link();
  EXPECT_EQ(client_.actions(), "connect 2");
  const auto hello = client_->hello(2, kStart);
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->open);
  welcome(2);
  EXPECT_TRUE(contains_reset(client_.say_frames(), Reason::application_reset));
  client_.hear(reset_frame(Reason::application_reset));
  EXPECT_EQ(client_.actions(), "close 2; ended: application_reset");
}

TEST_F(ClientSession, AResetWhileTheLinkIsDownIsDeliveredLater) {
  attach_usefully();
  client_.lose_link();
  client_->reset(Reason::application_reset);
  EXPECT_EQ(client_.actions(), "connect 2");
  EXPECT_FALSE(client_->ended());
  attach();
  EXPECT_TRUE(contains_reset(client_.say_frames(), Reason::application_reset));
}

TEST_F(ClientSession, AResetBeforeAnyHelloEndsItAtOnce) {
  client_->start(kStart);
  client_->reset(Reason::application_reset);
  EXPECT_EQ(client_.actions(), "connect 1; close 1; ended: application_reset");
}

TEST_F(ClientSession, GivenUpBeforeTheFirstWelcomeItIsNotOpenedJustToBeReset) {
  client_->start(kStart);
  ASSERT_TRUE(client_->hello(1, kStart));
  client_->reset(Reason::application_reset);
  EXPECT_FALSE(client_->ended()) << "the server may know of it";
  client_->attempt_failed(1, false, kStart);
  await_attempt();
  const auto hello = client_->hello(2, kStart);
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->open);
  client_->refused(2, Reason::unknown_session, kStart);
  EXPECT_EQ(client_.actions(), "connect 1; connect 2; ended: application_reset");
}

TEST_F(ClientSession, ClosedByItsOperatorItTellsBoth) {
  attach_usefully();
  client_->reset(Reason::closed_by_operator);
  EXPECT_EQ(client_.actions(), "reset application: closed_by_operator");
  EXPECT_TRUE(contains_reset(client_.say_frames(), Reason::closed_by_operator));
}

TEST_F(ClientSession, OffsetsThatDoNotFitEndIt) {
  attach_usefully();
  client_.lose_link();
  client_.actions();
  ASSERT_TRUE(client_->hello(2, kStart));
  welcome(2, peer_at(7));
  EXPECT_EQ(client_.actions(), "reset application: future_sequence");
  EXPECT_TRUE(contains_reset(client_.say_frames(), Reason::future_sequence));
  client_.hear(reset_frame(Reason::future_sequence));
  EXPECT_EQ(client_.actions(), "close 2; ended: future_sequence");
}

TEST_F(ClientSession, DetachedForTooLongItExpires) {
  attach_usefully();
  client_.lose_link();
  client_.actions();
  client_->tick(at(hours(24)) - Duration(1));
  EXPECT_FALSE(client_->ended());
  client_->tick(at(hours(24)));
  EXPECT_EQ(client_.actions(), "reset application: expired; close 2; ended: expired");
}

TEST_F(ClientSession, OnlyTheTimeWithoutALinkCounts) {
  attach(peer_at(0), at(hours(23)));
  client_.lose_link(at(hours(30)));
  client_.actions();
  client_->tick(at(hours(53)));
  EXPECT_FALSE(client_->ended());
  client_->tick(at(hours(54)));
  EXPECT_TRUE(client_->ended());
}

// --- a server, whose client is the test

class ServerSession : public testing::Test {
 protected:
  Result<Welcome> attach(std::uint64_t generation, const Position& client = peer_at(0),
                         TimePoint now = kStart) {
    return server_->attach({.session = kId,
                            .generation = generation,
                            .position = client,
                            .open = generation == 1,
                            .service = generation == 1 ? "ssh" : "",
                            .reuse = client_reuses_links_},
                           generation == 1, now);
  }

  // Both directions have nothing to carry and end; behind the end the client says `more`.
  void end_cleanly(const std::string& more = {}) {
    server_.finish();
    server_.say();
    server_.hear(frame_text(FrameType::fin, 1, 0) + more);
    EXPECT_EQ(server_.read(), "$");
    EXPECT_FALSE(server_->link_reusable());
    server_.say();
  }

  Subject server_{Role::server};
  bool client_reuses_links_ = true;
};

TEST_F(ServerSession, IsDetachedUntilAClientAttaches) {
  EXPECT_EQ(server_->detached_since(), kStart);
  const auto welcome = attach(1);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->session, kId);
  EXPECT_EQ(welcome->generation, 1U);
  EXPECT_TRUE(welcome->created);
  EXPECT_FALSE(server_->detached_since());
  server_.lose_link(at(seconds(5)));
  EXPECT_EQ(server_->detached_since(), at(seconds(5)));
  EXPECT_EQ(server_.actions(), "") << "it does not dial";
}

TEST_F(ServerSession, ReattachingSendsOnlyWhatIsNew) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("hello world");
  EXPECT_EQ(payload_of(server_.say_frames()), "hello world");
  for (std::uint64_t generation = 2; generation <= 4; ++generation) {
    server_.lose_link();
    const std::uint64_t received = 11 + 5 * (generation - 2);
    ASSERT_TRUE(attach(generation, peer_at(received)).has_value());
    EXPECT_EQ(payload_of(server_.say_frames()), "");
    server_.write("again");
    EXPECT_EQ(payload_of(server_.say_frames()), "again");
  }
}

TEST_F(ServerSession, TheNewestClientWins) {
  ASSERT_TRUE(attach(1).has_value());
  ASSERT_TRUE(attach(2).has_value());
  EXPECT_EQ(server_.actions(), "close 1");
  server_->receive(1, bytes_of(data_frame(0, "late")), kStart);
  server_->link_lost(link_error(1), kStart);
  EXPECT_EQ(server_->pipe().state(), PipeState::connected);
  EXPECT_EQ(server_.read(), "");
}

TEST_F(ServerSession, AFailedTakeoverLeavesItAsItWas) {
  ASSERT_TRUE(attach(2).has_value());
  server_.say();
  const auto before = server_->snapshot();
  EXPECT_TRUE(fails_with(attach(2), Reason::stale_generation));
  EXPECT_TRUE(fails_with(attach(1), Reason::stale_generation));
  EXPECT_EQ(server_->snapshot(), before);
  EXPECT_EQ(server_.actions(), "");
  EXPECT_EQ(server_->pipe().state(), PipeState::connected);
}

TEST_F(ServerSession, DoesNotReconnectByItself) {
  EXPECT_FALSE(server_->reconnect(kStart));
  ASSERT_TRUE(attach(1).has_value());
  server_.lose_link();
  server_->tick(at(seconds(100)));
  EXPECT_EQ(server_.actions(), "");
  EXPECT_EQ(server_->deadline(at(seconds(100))), at(hours(24)));
}

TEST_F(ServerSession, ADeadLinkIsLetGo) {
  ASSERT_TRUE(attach(1).has_value());
  server_.say();
  server_->tick(at(seconds(15)));
  EXPECT_EQ(server_.actions(), "close 1");
  EXPECT_EQ(server_->pipe().state(), PipeState::disconnected);
}

TEST_F(ServerSession, SaysClosedWhenBothDirectionsAreDone) {
  ASSERT_TRUE(attach(1).has_value());
  server_.finish();
  server_.say();
  server_.hear(data_frame(0, "abc") + frame_text(FrameType::fin, 0, 3));
  ASSERT_EQ(server_.read(), "abc$");
  EXPECT_FALSE(contains_reset(server_.say_frames(), Reason::closed)) << "the client lacks the end";
  server_.hear(frame_text(FrameType::ack, 1));
  EXPECT_FALSE(server_->ended()) << "not before it has been said";
  const auto frames = server_.say_frames();
  ASSERT_TRUE(contains_reset(frames, Reason::closed));
  EXPECT_EQ(only(FrameType::reset, frames)[0].acknowledgement, 4U);
  EXPECT_EQ(server_.actions(), "close 1; ended: closed");
}

TEST_F(ServerSession, LeavesALinkThatIsGoodForAnotherSession) {
  const auto welcome = attach(1);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_TRUE(welcome->reuse);
  end_cleanly();
  ASSERT_TRUE(server_->ended());
  EXPECT_TRUE(server_->link_reusable());
  EXPECT_EQ(server_.say(at(seconds(1))), "");
}

TEST_F(ServerSession, LeavesNoneToAClientThatHasNotOfferedIt) {
  client_reuses_links_ = false;
  const auto welcome = attach(1);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_FALSE(welcome->reuse);
  end_cleanly();
  ASSERT_TRUE(server_->ended());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, LeavesNoneThatItHasReset) {
  ASSERT_TRUE(attach(1).has_value());
  server_->reset(Reason::target_refused);
  server_.say();
  EXPECT_TRUE(server_->ended());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, LeavesNoneOnWhichTheClientIsInTheMiddleOfAFrame) {
  ASSERT_TRUE(attach(1).has_value());
  end_cleanly(frame_text(FrameType::ack, 1).substr(1));
  EXPECT_TRUE(server_->ended());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, IsClosedAlsoWhenTheLinkIsLostBeforeItCouldSayIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.finish();
  server_.say();
  server_.hear(frame_text(FrameType::fin, 1, 0));
  ASSERT_EQ(server_.read(), "$");
  EXPECT_FALSE(server_->ended());
  server_.lose_link();
  EXPECT_EQ(server_.actions(), "ended: closed") << "its tombstone tells the client";
}

TEST_F(ServerSession, AResetByTheClientReachesItsApplicationAndIsAnswered) {
  ASSERT_TRUE(attach(1).has_value());
  server_.hear(data_frame(0, "last words") + reset_frame(Reason::application_reset));
  EXPECT_EQ(deliverable_text(server_->pipe()), "last words");
  EXPECT_EQ(server_.actions(), "reset application: application_reset");
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::application_reset));
  EXPECT_EQ(server_.actions(), "close 1; ended: application_reset");
}

TEST_F(ServerSession, ItsApplicationsResetIsSaidAndThenItEnds) {
  ASSERT_TRUE(attach(1).has_value());
  server_->reset(Reason::application_reset);
  EXPECT_EQ(server_.actions(), "");
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::application_reset));
  EXPECT_EQ(server_.actions(), "close 1; ended: application_reset");
}

TEST_F(ServerSession, ATargetThatRefusesIsReported) {
  ASSERT_TRUE(attach(1).has_value());
  server_->reset(Reason::target_refused);
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::target_refused));
  EXPECT_EQ(server_.actions(), "reset application: target_refused; close 1; ended: target_refused");
}

TEST_F(ServerSession, WithoutALinkAResetEndsItAtOnce) {
  ASSERT_TRUE(attach(1).has_value());
  server_.lose_link();
  server_->reset(Reason::closed_by_operator);
  EXPECT_EQ(server_.actions(), "reset application: closed_by_operator; ended: closed_by_operator");
}

TEST_F(ServerSession, AStreamThatAResetCutShortDoesNotLookAsIfItHadEnded) {
  ASSERT_TRUE(attach(1).has_value());
  server_.hear(data_frame(0, "abc") + frame_text(FrameType::fin, 0, 3));
  server_->reset(Reason::closed_by_operator);
  EXPECT_EQ(server_.read(), "") << "neither the bytes nor the end";
}

TEST_F(ServerSession, OffsetsThatDoNotFitEndIt) {
  EXPECT_TRUE(fails_with(attach(1, peer_at(7)), Reason::future_sequence));
  EXPECT_EQ(server_.actions(), "reset application: future_sequence; ended: future_sequence");
}

TEST_F(ServerSession, AcknowledgedBytesAskedForAgainEndIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("abc");
  server_.say();
  server_.hear(frame_text(FrameType::ack, 3));
  server_.lose_link();
  EXPECT_TRUE(fails_with(attach(2, peer_at(2)), Reason::replay_unavailable));
  EXPECT_EQ(server_.actions(), "reset application: replay_unavailable; ended: replay_unavailable");
}

TEST_F(ServerSession, DataBeyondTheWindowEndsIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.say();
  server_.hear(data_frame(0, std::string(65, 'x')));
  EXPECT_EQ(server_.actions(), "reset application: window_exceeded");
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::window_exceeded));
  EXPECT_EQ(server_.actions(), "close 1; ended: window_exceeded");
}

TEST_F(ServerSession, AnAcknowledgementOfBytesNeverSentEndsIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("abc");
  server_.say();
  server_.hear(frame_text(FrameType::ack, 4));
  EXPECT_EQ(server_.actions(), "reset application: future_sequence");
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::future_sequence));
  EXPECT_EQ(server_.actions(), "close 1; ended: future_sequence");
}

TEST_F(ServerSession, DetachedForTooLongItExpires) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("abc");
  server_.lose_link(at(seconds(10)));
  server_->tick(at(hours(24) + seconds(10)));
  EXPECT_EQ(server_.actions(), "reset application: expired; ended: expired");
  EXPECT_EQ(server_.segments_in_use(), 0U);
}

TEST_F(ServerSession, OnceEndedNothingTouchesIt) {
  server_->reset(Reason::closed_by_operator);
  EXPECT_TRUE(fails_with(attach(1), Reason::closed_by_operator)) << "before its owner was told";
  server_.actions();
  EXPECT_TRUE(fails_with(attach(1), Reason::closed_by_operator));
  server_->tick(at(hours(100)));
  server_->reset(Reason::application_reset);
  server_->link_lost(link_error(1), kStart);
  EXPECT_EQ(server_->receive(1, bytes_of("junk"), kStart), 4U);
  EXPECT_EQ(server_.actions(), "");
  EXPECT_FALSE(server_->deadline(kStart));
}

// --- a client and a server

class TwoSessions : public testing::Test {
 protected:
  void connect() {
    if (client_->pipe().generation() == 0) client_->start(kStart);
    if (client_->pipe().state() == PipeState::disconnected) {
      client_->tick(client_->next_attempt().value_or(kStart));
    }
    client_.actions();
    const auto hello = client_->hello(client_->pipe().generation(), kStart);
    ASSERT_TRUE(hello);
    const auto welcome = server_->attach(*hello, hello->open, kStart);
    ASSERT_TRUE(welcome.has_value());
    client_->welcomed(*welcome, kStart);
    client_.actions();
    server_.actions();
  }

  // Until neither has anything to say.
  void run() {
    while (true) {
      const std::string from_client = client_.say();
      if (!from_client.empty()) server_.hear(from_client);
      const std::string from_server = server_.say();
      if (!from_server.empty()) client_.hear(from_server);
      if (from_client.empty() && from_server.empty()) return;
    }
  }

  // Acknowledgements that wait for company go out as well.
  void run_on() {
    run();
    client_->tick(at(seconds(1)));
    server_->tick(at(seconds(1)));
    run();
  }

  void lose_links() {
    client_.lose_link();
    server_.lose_link();
  }

  Subject client_{Role::client};
  Subject server_{Role::server};
};

TEST_F(TwoSessions, EndCleanlyOnBothSides) {
  connect();
  client_.write("question");
  client_.finish();
  run();
  EXPECT_EQ(server_.read(), "question$");
  server_.write("answer");
  server_.finish();
  run();
  EXPECT_EQ(client_.read(), "answer$");
  run_on();
  EXPECT_EQ(server_.actions(), "close 1; ended: closed");
  EXPECT_EQ(client_.actions(), "close 1; ended: closed");
  EXPECT_TRUE(server_->link_reusable());
  EXPECT_TRUE(client_->link_reusable());
}

TEST_F(TwoSessions, HalfCloseLeavesTheOtherDirectionOpen) {
  connect();
  client_.finish();
  run();
  EXPECT_EQ(server_.read(), "$");
  for (int i = 0; i < 3; ++i) {
    server_.write("more");
    run_on();
    EXPECT_EQ(client_.read(), "more");
  }
  EXPECT_EQ(server_.actions() + client_.actions(), "");
}

TEST_F(TwoSessions, GoOnInNewProcessesWhereTheyWere) {
  connect();
  client_.write("before ");
  server_.write("hence ");
  run();
  EXPECT_EQ(deliver(server_->pipe(), kStart, 3), "bef");
  client_.write("and after");
  client_.finish();
  client_.move_to_new_process();
  server_.move_to_new_process();
  EXPECT_EQ(client_->id(), kId);
  EXPECT_EQ(client_->service(), "ssh");
  EXPECT_EQ(client_->links(), 1U);

  client_->start(kStart);
  EXPECT_EQ(client_.actions(), "connect 2");
  connect();
  run();
  EXPECT_EQ(server_.read(), "ore and after$");
  EXPECT_EQ(client_.read(), "hence ");
  EXPECT_FALSE(client_->hello(2, kStart)) << "it is attached";
}

TEST_F(TwoSessions, ARestoredClientResumesAndDoesNotOpenAgain) {
  connect();
  client_.move_to_new_process();
  client_->start(kStart);
  const auto hello = client_->hello(2, kStart);
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->open);
}

TEST_F(TwoSessions, ARestoredResetIsStillSaid) {
  connect();
  client_->reset(Reason::application_reset);
  client_.move_to_new_process();
  EXPECT_TRUE(client_->application_done());
  client_->start(kStart);
  connect();
  run();
  EXPECT_EQ(server_.actions(),
            "reset application: application_reset; close 2; ended: application_reset");
  EXPECT_EQ(client_.actions(), "close 2; ended: application_reset");
}

TEST(SessionSnapshot, RefusesWhatIsNone) {
  Subject whole(Role::client);
  const std::vector<std::byte> state = whole->snapshot();
  for (std::size_t size = 0; size < state.size(); ++size) {
    Subject fresh(Role::client);
    EXPECT_FALSE(fresh->restore(ConstBytes(state).first(size)).has_value()) << size;
  }
  std::vector<std::byte> other_role = state;
  other_role[20] = std::byte{2};
  Subject fresh(Role::client);
  EXPECT_TRUE(fails_with(fresh->restore(other_role), Reason::protocol_error));
}

// --- the origin's faults (those of the pipe are tested with the pipe)

TEST_F(ClientSession, KnownFault3CloseCancelsADialUnderWay) {
  client_->start(kStart);
  client_->reset(Reason::closed_by_operator);
  EXPECT_EQ(client_.actions(),
            "connect 1; reset application: closed_by_operator; close 1; ended: closed_by_operator");
  // What the dial comes to is of no interest any more.
  EXPECT_FALSE(client_->hello(1, kStart));
  client_->attempt_failed(1, false, kStart);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_FALSE(client_->next_attempt());
}

TEST_F(ServerSession, KnownFault6TakingOverAHalfOpenLinkDoesNotWaitForIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("lost on the way");
  server_.say();
  // Nobody has noticed that the first link is dead: no error, no end, and a frame is half read.
  server_.hear(data_frame(0, "abcdef").substr(0, 26));
  const auto welcome = attach(2, peer_at(0));
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->position.received, 2U);
  EXPECT_EQ(server_.actions(), "close 1");
  EXPECT_EQ(payload_of(server_.say_frames()), "lost on the way");
  server_.hear(data_frame(2, "cdef"));
  EXPECT_EQ(server_.read(), "abcdef");
}

TEST_F(ClientSession, KnownFault10ItTriesForAsLongAsTheSessionLives) {
  attach_usefully();
  client_.write("still here");
  client_.lose_link();
  client_.actions();
  TimePoint now = kStart;
  std::uint64_t generation = 2;
  for (; now < at(hours(23)); ++generation) {
    client_->attempt_failed(generation, false, now);
    const TimePoint next = await_attempt();
    ASSERT_GT(next, now);
    ASSERT_LE(next, now + seconds(10));
    now = next;
    ASSERT_EQ(client_.actions(), "connect " + std::to_string(generation + 1));
  }
  ASSERT_TRUE(client_->hello(generation, kStart));
  welcome(generation, peer_at(0), now);
  EXPECT_EQ(payload_of(client_.say_frames(now)), "still here");
}

}  // namespace
}  // namespace backedpipe::test
