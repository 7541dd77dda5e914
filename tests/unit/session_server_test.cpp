#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;

// --- a server, whose client is the test

class ServerSession : public testing::Test {
 protected:
  Result<Welcome> attach(std::uint64_t generation, const Position& client = peer_at(0),
                         TimePoint now = kStart) {
    return attach(generation, generation == 1, client, now);
  }
  Result<Welcome> attach(std::uint64_t generation, bool open, const Position& client,
                         TimePoint now) {
    return server_->attach({.session = kId,
                            .generation = generation,
                            .position = client,
                            .open = open,
                            .service = open ? "ssh" : "",
                            .offers = {.reuse = client_reuses_links_}},
                           generation == 1, now);
  }

  // Both directions carry nothing and end. The client sends `more` after its end.
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
  server_->tick(at(seconds(1)), nullptr);
  EXPECT_EQ(server_.actions(), "");
  EXPECT_EQ(server_->deadline(at(seconds(1))), at(seconds(60)));
}

TEST_F(ServerSession, ADeadLinkIsLetGo) {
  ASSERT_TRUE(attach(1).has_value());
  server_.say();
  server_->tick(at(seconds(15)), nullptr);
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
  EXPECT_FALSE(server_->over()) << "not before it has been said";
  const auto frames = server_.say_frames();
  ASSERT_TRUE(contains_reset(frames, Reason::closed));
  EXPECT_EQ(only(FrameType::reset, frames)[0].acknowledgement, 4U);
  EXPECT_EQ(server_.actions(), "close 1; ended: closed");
}

TEST_F(ServerSession, LeavesALinkThatIsGoodForAnotherSession) {
  const auto welcome = attach(1);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_TRUE(welcome->accepts.reuse);
  end_cleanly();
  ASSERT_TRUE(server_->over());
  EXPECT_TRUE(server_->link_reusable());
  EXPECT_EQ(server_.say(at(seconds(1))), "");
}

TEST_F(ServerSession, LeavesNoneToAClientThatHasNotOfferedIt) {
  client_reuses_links_ = false;
  const auto welcome = attach(1);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_FALSE(welcome->accepts.reuse);
  end_cleanly();
  ASSERT_TRUE(server_->over());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, LeavesNoneThatItHasReset) {
  ASSERT_TRUE(attach(1).has_value());
  server_->reset(Reason::target_refused);
  server_.say();
  EXPECT_TRUE(server_->over());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, LeavesNoneOnWhichTheClientIsInTheMiddleOfAFrame) {
  ASSERT_TRUE(attach(1).has_value());
  end_cleanly(frame_text(FrameType::ack, 1).substr(1));
  EXPECT_TRUE(server_->over());
  EXPECT_FALSE(server_->link_reusable());
}

TEST_F(ServerSession, IsClosedAlsoWhenTheLinkIsLostBeforeItCouldSayIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.finish();
  server_.say();
  server_.hear(frame_text(FrameType::fin, 1, 0));
  ASSERT_EQ(server_.read(), "$");
  EXPECT_FALSE(server_->over());
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
  EXPECT_TRUE(fails_with(attach(2, peer_at(7)), Reason::future_sequence));
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

TEST_F(ServerSession, AResetThatAcknowledgesTooMuchIsOneNevertheless) {
  ASSERT_TRUE(attach(1).has_value());
  server_.hear(reset_frame(Reason::application_reset, 5));
  EXPECT_TRUE(contains_reset(server_.say_frames(), Reason::application_reset));
  EXPECT_EQ(server_.actions(),
            "reset application: application_reset; close 1; ended: application_reset");
}

TEST_F(ServerSession, DetachedForTooLongItExpires) {
  ASSERT_TRUE(attach(1).has_value());
  server_.hear(frame_text(FrameType::window, 0, 64));
  server_.write("abc");
  server_.lose_link(at(seconds(10)));
  server_->tick(at(hours(24) + seconds(10)), nullptr);
  EXPECT_EQ(server_.actions(), "reset application: expired; ended: expired");
  EXPECT_EQ(server_.segments_in_use(), 0U);
}

// --- a client that may never have seen the WELCOME

TEST_F(ServerSession, WithoutASignOfItsClientItExpiresAfterAMinute) {
  EXPECT_FALSE(server_->confirmed());
  ASSERT_TRUE(attach(1).has_value());
  server_->tick(at(seconds(14)), nullptr);
  EXPECT_FALSE(server_->over()) << "the time with a link does not count";
  server_.lose_link(at(seconds(14)));
  EXPECT_EQ(server_->deadline(at(seconds(14))), at(seconds(74)));
  server_->tick(at(seconds(74)) - Duration(1), nullptr);
  EXPECT_FALSE(server_->over());
  server_->tick(at(seconds(74)), nullptr);
  EXPECT_EQ(server_.actions(), "reset application: expired; ended: expired");
}

TEST_F(ServerSession, AlsoItsTargetsEndDoesNotKeepItLonger) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("banner");
  server_.finish();
  server_.say();
  server_.lose_link();
  server_->tick(at(seconds(60)), nullptr);
  EXPECT_EQ(server_.actions(), "reset application: expired; ended: expired");
  EXPECT_EQ(server_.segments_in_use(), 0U);
}

TEST_F(ServerSession, ARepeatedOpeningIsNoSignThatAWelcomeArrived) {
  ASSERT_TRUE(attach(1).has_value());
  server_.lose_link();
  ASSERT_TRUE(attach(2, true, peer_at(0), at(seconds(50))).has_value());
  EXPECT_FALSE(server_->confirmed());
  server_.lose_link(at(seconds(55)));
  EXPECT_EQ(server_->deadline(at(seconds(55))), at(seconds(115))) << "it begins anew";
}

TEST_F(ServerSession, AFrameAfterTheHelloConfirmsIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.hear(frame_text(FrameType::window, 0, 64));
  EXPECT_TRUE(server_->confirmed());
  server_.lose_link();
  server_->tick(at(hours(24)) - Duration(1), nullptr);
  EXPECT_FALSE(server_->over());
}

TEST_F(ServerSession, AHelloThatOnlyResumesConfirmsIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.lose_link();
  ASSERT_TRUE(attach(2).has_value());
  EXPECT_TRUE(server_->confirmed());
  server_.lose_link();
  server_->tick(at(hours(23)), nullptr);
  EXPECT_FALSE(server_->over());
}

TEST_F(ServerSession, ARefusedResumeConfirmsNothing) {
  ASSERT_TRUE(attach(3, true, peer_at(0), kStart).has_value());
  EXPECT_TRUE(fails_with(attach(2), Reason::stale_generation));
  EXPECT_FALSE(server_->confirmed());
}

TEST_F(ServerSession, WhetherItIsConfirmedOutlivesItsProcess) {
  ASSERT_TRUE(attach(1).has_value());
  server_.move_to_new_process(at(seconds(5)));
  EXPECT_FALSE(server_->confirmed());
  EXPECT_EQ(server_->deadline(at(seconds(5))), at(seconds(65)));
  ASSERT_TRUE(attach(2, peer_at(0), at(seconds(6))).has_value());
  server_.move_to_new_process(at(seconds(7)));
  EXPECT_TRUE(server_->confirmed());
  EXPECT_EQ(server_->deadline(at(seconds(7))), at(hours(24) + seconds(7)));
}

TEST_F(ServerSession, AShorterResumeTimeoutHoldsInAnyCase) {
  SessionOptions options = small_options();
  options.resume_timeout = seconds(5);
  ArenaPool pool;
  Session session({.id = kId, .role = Role::server, .service = "ssh"}, *pool, options, 1, kStart);
  EXPECT_EQ(session.deadline(kStart), at(seconds(5)));
}

TEST_F(ServerSession, OnceEndedNothingTouchesIt) {
  server_->reset(Reason::closed_by_operator);
  EXPECT_TRUE(fails_with(attach(1), Reason::closed_by_operator)) << "before its owner was told";
  server_.actions();
  EXPECT_TRUE(fails_with(attach(1), Reason::closed_by_operator));
  server_->tick(at(hours(100)), nullptr);
  server_->reset(Reason::application_reset);
  server_->link_lost(link_error(1), kStart);
  EXPECT_EQ(server_->receive(1, bytes_of("junk"), kStart), 4U);
  EXPECT_EQ(server_.actions(), "");
  EXPECT_FALSE(server_->deadline(kStart));
}

// --- the origin's faults

TEST_F(ServerSession, KnownFault6TakingOverAHalfOpenLinkDoesNotWaitForIt) {
  ASSERT_TRUE(attach(1).has_value());
  server_.write("lost on the way");
  server_.say();
  // The first link is dead, and the server has not noticed: no error, no end, and half a frame is
  // read.
  server_.hear(data_frame(0, "abcdef").substr(0, 26));
  const auto welcome = attach(2, peer_at(0));
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->position.received, 2U);
  EXPECT_EQ(server_.actions(), "close 1");
  EXPECT_EQ(payload_of(server_.say_frames()), "lost on the way");
  server_.hear(data_frame(2, "cdef"));
  EXPECT_EQ(server_.read(), "abcdef");
}

}  // namespace
}  // namespace backedpipe::test
