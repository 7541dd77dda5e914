#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;

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
  EXPECT_FALSE(client_->over());
  EXPECT_EQ(client_.actions(), "");
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_EQ(client_.actions(), "close 1; ended: closed");
  EXPECT_EQ(client_.segments_in_use(), 0U);
}

TEST_F(FinishedClient, LeavesALinkThatIsGoodForAnotherSession) {
  finish(4);
  EXPECT_FALSE(client_->link_reusable());
  // A peer that ends the session right after a PING needs no PONG.
  client_.hear(frame_text(FrameType::ping, 4, 7) + reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->link_reusable());
  EXPECT_EQ(client_.say(), "") << "it would be taken for a HELLO";
}

TEST_F(FinishedClient, LeavesNoneToAServerThatDoesNotReuseIt) {
  server_reuses_links_ = false;
  finish(4);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->over());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichItHasSaidMoreThanTheServerNeeded) {
  finish(4);
  // The server may have ended the session before this comes.
  client_.hear(frame_text(FrameType::ping, 4, 7));
  EXPECT_EQ(only(FrameType::pong, client_.say_frames()).size(), 1U);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->over());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichItIsInTheMiddleOfAFrame) {
  finish(4);
  client_.hear(frame_text(FrameType::ping, 4, 7));
  const std::size_t whole = client_.offers(kStart).size();
  client_->sent(1, whole - 1);
  client_.hear(reset_frame(Reason::closed, 4));
  EXPECT_TRUE(client_->over());
  EXPECT_FALSE(client_->link_reusable());
}

TEST_F(FinishedClient, LeavesNoneOnWhichSomethingFollowsTheEnd) {
  finish(4);
  client_.hear(reset_frame(Reason::closed, 4) + "B");
  EXPECT_TRUE(client_->over());
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
  EXPECT_TRUE(client_->over());
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

TEST_F(ClientSession, AResetThatAcknowledgesTooMuchIsOneNevertheless) {
  attach();
  client_.hear(reset_frame(Reason::target_refused, 5));
  EXPECT_EQ(client_.actions(), "reset application: target_refused; close 1; ended: target_refused");
}

TEST_F(FinishedClient, IsNotFinishedByAnAcknowledgementThatCannotBe) {
  finish(3);
  client_.hear(reset_frame(Reason::closed, 9));
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
  const auto hello = client_->begin_handshake(2, kStart, nullptr);
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
  EXPECT_FALSE(client_->over());
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
  ASSERT_TRUE(client_->begin_handshake(1, kStart, nullptr));
  client_->reset(Reason::application_reset);
  EXPECT_FALSE(client_->over()) << "the server may know of it";
  client_->attempt_failed(1, false, kStart);
  await_attempt();
  const auto hello = client_->begin_handshake(2, kStart, nullptr);
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
  ASSERT_TRUE(client_->begin_handshake(2, kStart, nullptr));
  welcome(2, peer_at(7));
  EXPECT_EQ(client_.actions(), "reset application: future_sequence");
  const auto frames = client_.say_frames();
  EXPECT_EQ(frames.size(), 1U) << "neither a PING nor its window";
  EXPECT_TRUE(contains_reset(frames, Reason::future_sequence));
  client_.hear(reset_frame(Reason::future_sequence));
  EXPECT_EQ(client_.actions(), "close 2; ended: future_sequence");
}

TEST_F(ClientSession, DetachedForTooLongItExpires) {
  attach_usefully();
  client_.lose_link();
  client_.actions();
  client_->tick(at(hours(24)) - Duration(1), nullptr);
  EXPECT_FALSE(client_->over());
  client_->tick(at(hours(24)), nullptr);
  EXPECT_EQ(client_.actions(), "reset application: expired; close 2; ended: expired");
}

TEST_F(ClientSession, OnlyTheTimeWithoutALinkCounts) {
  attach(peer_at(0), at(hours(23)));
  client_.lose_link(at(hours(30)));
  client_.actions();
  client_->tick(at(hours(53)), nullptr);
  EXPECT_FALSE(client_->over());
  client_->tick(at(hours(54)), nullptr);
  EXPECT_TRUE(client_->over());
}

}  // namespace
}  // namespace backedpipe::test
