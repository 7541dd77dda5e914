#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

TEST_F(ClientSession, DialsAtOnceWhenStarted) {
  client_->start(kStart);
  EXPECT_EQ(client_.actions(), "connect 1");
}

TEST_F(ClientSession, RepeatsTheOpeningHelloUntilItIsWelcomed) {
  client_->start(kStart);
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    EXPECT_EQ(client_.actions(), "connect " + std::to_string(generation));
    const auto hello = client_->begin_handshake(generation, kStart, nullptr);
    ASSERT_TRUE(hello);
    EXPECT_TRUE(hello->open);
    EXPECT_EQ(hello->service, "ssh");
    EXPECT_EQ(hello->session, kId);
    client_->attempt_failed(generation, false, kStart);
    await_attempt();
  }
  ASSERT_TRUE(client_->begin_handshake(4, kStart, nullptr));
  welcome(4);
  client_.lose_link();
  await_attempt();
  const auto resume = client_->begin_handshake(5, kStart, nullptr);
  ASSERT_TRUE(resume);
  EXPECT_FALSE(resume->open);
  EXPECT_EQ(resume->service, "");
}

TEST_F(ClientSession, GivesNoHelloForAnAttemptThatIsNotCurrent) {
  client_->start(kStart);
  EXPECT_FALSE(client_->begin_handshake(2, kStart, nullptr));
  client_->attempt_failed(1, false, kStart);
  EXPECT_FALSE(client_->begin_handshake(1, kStart, nullptr));
}

TEST_F(ClientSession, RejectedBeforeTheFirstWelcomeItEnds) {
  client_->start(kStart);
  client_->attempt_failed(1, true, kStart);
  EXPECT_EQ(client_.actions(),
            "connect 1; reset application: not_authorised; ended: not_authorised");
  EXPECT_TRUE(client_->over());
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
  ASSERT_TRUE(client_->begin_handshake(1, kStart, nullptr));
  client_->attempt_void(1, kStart);
  EXPECT_EQ(client_.actions(), "connect 1; connect 2");
  client_->attempt_void(1, kStart);
  EXPECT_EQ(client_.actions(), "") << "that is no news";
  const auto hello = client_->begin_handshake(2, kStart, nullptr);
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
  ASSERT_TRUE(client_->begin_handshake(1, kStart, nullptr));
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
    ASSERT_TRUE(client->begin_handshake(1, kStart, nullptr));
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
  ASSERT_EQ(client_.take(2, kStart), "ab");
  client_.lose_link();
  const auto hello = client_->begin_handshake(2, kStart, nullptr);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->position.delivered, 2U);
  EXPECT_EQ(hello->position.received, 6U);
}

}  // namespace
}  // namespace backedpipe::test
