// BackedPipe: links, attempts and takeovers.
#include <array>

#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using boost::system::errc::already_connected;
using boost::system::errc::broken_pipe;

constexpr TimePoint kStart = at(seconds(0));

// --- states and generations

class BackedPipeStates : public OnePipe {};

TEST_F(BackedPipeStates, StartsDisconnectedAtGenerationZero) {
  EXPECT_EQ(pipe_.state(), PipeState::disconnected);
  EXPECT_EQ(pipe_.generation(), 0U);
  EXPECT_FALSE(pipe_.deadline());
  EXPECT_FALSE(pipe_.done());
  EXPECT_EQ(offered(pipe_, kStart), "");
}

TEST_F(BackedPipeStates, ConnectsOnceAndIsThenAlreadyConnected) {
  EXPECT_EQ(pipe_.connect().value(), 1U);
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
  EXPECT_TRUE(fails_with(pipe_.connect(), already_connected));
  ASSERT_TRUE(pipe_.attach(1, peer_at(0), kStart).has_value());
  EXPECT_EQ(pipe_.state(), PipeState::connected);
  EXPECT_TRUE(fails_with(pipe_.connect(), already_connected));
  EXPECT_EQ(pipe_.generation(), 1U);
}

TEST_F(BackedPipeStates, AnAcceptingSideIsConnectedWithoutDialling) {
  ASSERT_TRUE(pipe_.attach(7, peer_at(0), kStart).has_value());
  EXPECT_EQ(pipe_.state(), PipeState::connected);
  EXPECT_EQ(pipe_.generation(), 7U);
}

TEST_F(BackedPipeStates, OnceClosedItConnectsAttachesAndReconnectsNoMore) {
  pipe_.close();
  EXPECT_EQ(pipe_.state(), PipeState::closed);
  EXPECT_TRUE(fails_with(pipe_.connect(), broken_pipe));
  EXPECT_TRUE(fails_with(pipe_.reconnect(), broken_pipe));
  EXPECT_TRUE(fails_with(pipe_.attach(1, peer_at(0), kStart), broken_pipe));
  EXPECT_FALSE(pipe_.detach(link_error(0)));
  EXPECT_EQ(pipe_.state(), PipeState::closed);
}

TEST_F(BackedPipeStates, CloseIsIdempotentAndFreesEverything) {
  attach();
  write(pipe_, stream_text(0, 100));
  receive(pipe_, data_frame(0, "hello")).value();
  EXPECT_GT(pool_->segments_in_use(), 0U);
  pipe_.close();
  pipe_.close();
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  EXPECT_EQ(write(pipe_, "more"), 0U);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(pipe_.prepare(10, pieces), 0U);
  EXPECT_EQ(offered(pipe_, kStart), "");
  EXPECT_EQ(pipe_.receive(1, bytes_of("anything"), kStart).value(), 8U);
  EXPECT_FALSE(pipe_.deadline());
}

TEST_F(BackedPipeStates, CloseEndsAnAttemptInFlight) {
  pipe_.connect().value();
  pipe_.close();
  EXPECT_FALSE(pipe_.attempt_failed(1));
  EXPECT_TRUE(fails_with(pipe_.attach(1, peer_at(0), kStart), broken_pipe));
}

TEST_F(BackedPipeStates, GenerationGrowsWithEachAutomaticAndForcedAttempt) {
  ASSERT_TRUE(pipe_.attach(pipe_.connect().value(), peer_at(0), kStart).has_value());
  EXPECT_EQ(pipe_.generation(), 1U);
  lose_link();
  ASSERT_TRUE(pipe_.attach(pipe_.connect().value(), peer_at(0), kStart).has_value());
  EXPECT_EQ(pipe_.generation(), 2U);
  EXPECT_EQ(pipe_.reconnect().value(), 3U);
  ASSERT_TRUE(pipe_.attach(3, peer_at(0), kStart).has_value());
  EXPECT_EQ(pipe_.generation(), 3U);
}

TEST_F(BackedPipeStates, ForcedReconnectsDuringAnAttemptJoinIt) {
  EXPECT_EQ(pipe_.reconnect().value(), 1U) << "disconnected: acts as the first connect";
  EXPECT_EQ(pipe_.reconnect().value(), 1U);
  EXPECT_EQ(pipe_.reconnect().value(), 1U);
  ASSERT_TRUE(pipe_.attach(1, peer_at(0), kStart).has_value());
}

TEST_F(BackedPipeStates, ForcedReconnectsOnAHealthyLinkMakeOneAttempt) {
  attach();
  EXPECT_EQ(pipe_.reconnect().value(), 2U);
  EXPECT_EQ(pipe_.reconnect().value(), 2U);
  EXPECT_EQ(pipe_.reconnect().value(), 2U);
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
  EXPECT_FALSE(pipe_.detach(link_error(1))) << "the old link's end is no news";
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
}

TEST_F(BackedPipeStates, AFailedAttemptLeavesItDisconnectedAndReadyForTheNext) {
  pipe_.connect().value();
  EXPECT_TRUE(pipe_.attempt_failed(1));
  EXPECT_EQ(pipe_.state(), PipeState::disconnected);
  EXPECT_FALSE(pipe_.attempt_failed(1));
  EXPECT_EQ(pipe_.connect().value(), 2U);
  EXPECT_FALSE(pipe_.attempt_failed(1)) << "an older attempt's failure";
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
}

TEST_F(BackedPipeStates, BothHalvesFailingTogetherCountOnce) {
  attach();
  EXPECT_TRUE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::reader)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_EQ(name(pipe_.last_error()->component), "writer");
  EXPECT_EQ(pipe_.connect().value(), 2U);
  EXPECT_FALSE(pipe_.detach(link_error(1)));
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
}

TEST_F(BackedPipeStates, AFailedWriteIsReportedOnceAsTheWriterAndItsDataReplayedOnce) {
  attach();
  write(pipe_, "hello world!");
  take(pipe_, kStart, kMaxFramePrefixBytes + 5);
  EXPECT_TRUE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_EQ(pipe_.last_error()->component, LinkError::Component::writer);
  EXPECT_EQ(pipe_.last_error()->generation, 1U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(3), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), "lo world!");
  EXPECT_EQ(payload_of(take_frames(pipe_)), "");
  EXPECT_EQ(pipe_.replayed_bytes(), 2U);
}

TEST_F(BackedPipeStates, EveryStateAndComponentHasAName) {
  EXPECT_EQ(name(PipeState::disconnected), "disconnected");
  EXPECT_EQ(name(PipeState::reconnecting), "reconnecting");
  EXPECT_EQ(name(PipeState::connected), "connected");
  EXPECT_EQ(name(PipeState::closed), "closed");
  EXPECT_EQ(name(LinkError::Component::writer), "writer");
}

// --- stale generations and takeover

class BackedPipeTakeover : public OnePipe {
 protected:
  // A second link has taken over from the first, with data under way.
  void take_over() {
    attach();
    write(pipe_, "hello world!");
    take(pipe_, kStart, kMaxFramePrefixBytes + 5);
    ASSERT_TRUE(pipe_.attach(2, peer_at(5), kStart).has_value());
  }
};

TEST_F(BackedPipeTakeover, AHigherGenerationReplacesTheLink) {
  take_over();
  EXPECT_EQ(pipe_.state(), PipeState::connected);
  EXPECT_EQ(pipe_.generation(), 2U);
  EXPECT_EQ(payload_of(take_frames(pipe_)), " world!");
}

TEST_F(BackedPipeTakeover, AGenerationThatIsNotHigherIsStale) {
  take_over();
  EXPECT_TRUE(fails_with(pipe_.attach(2, peer_at(5), kStart), Reason::stale_generation));
  EXPECT_TRUE(fails_with(pipe_.attach(1, peer_at(5), kStart), Reason::stale_generation));
  lose_link();
  EXPECT_TRUE(fails_with(pipe_.attach(2, peer_at(5), kStart), Reason::stale_generation));
  EXPECT_EQ(pipe_.connect().value(), 3U);
  EXPECT_TRUE(fails_with(pipe_.attach(2, peer_at(5), kStart), Reason::stale_generation));
}

TEST_F(BackedPipeTakeover, CallsOfTheOldLinkDoNothing) {
  take_over();
  const std::string before = offered(pipe_, kStart);
  const std::string late = data_frame(0, "late", 12) + frame_text(FrameType::reset, 0, 12);
  EXPECT_EQ(pipe_.receive(1, bytes_of(late), at(seconds(5))).value(), late.size());
  EXPECT_EQ(pipe_.receive(3, bytes_of("from nowhere"), at(seconds(5))).value(), 12U);
  pipe_.sent(1, 1000);
  pipe_.sent(3, 1000);
  EXPECT_FALSE(pipe_.detach(link_error(1)));
  EXPECT_FALSE(pipe_.detach(link_error(3)));
  EXPECT_FALSE(pipe_.attempt_failed(1));
  EXPECT_FALSE(pipe_.attempt_failed(2));

  EXPECT_EQ(pipe_.state(), PipeState::connected);
  EXPECT_EQ(pipe_.last_received_at(), kStart);
  EXPECT_FALSE(pipe_.last_error());
  EXPECT_FALSE(pipe_.reset_received());
  EXPECT_EQ(deliver(pipe_), "");
  EXPECT_EQ(offered(pipe_, kStart), before);
}

TEST_F(BackedPipeTakeover, AFrameThatTheOldLinkLeftHalfDoneIsForgotten) {
  attach();
  const std::string frame = data_frame(0, "hello");
  receive(pipe_, std::string_view(frame).substr(0, kMaxFramePrefixBytes + 2)).value();
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  receive(pipe_, data_frame(2, "llo")).value();
  EXPECT_EQ(deliver(pipe_), "hello");
}

TEST_F(BackedPipeTakeover, ATakeoverThatFailsLeavesEverythingAsItWas) {
  attach();
  write(pipe_, "hello world!");
  take(pipe_, kStart, kMaxFramePrefixBytes + 5);
  receive(pipe_, frame_text(FrameType::ping, 3, 7)).value();
  const std::string before = offered(pipe_, kStart);
  const auto snapshot = pipe_.snapshot();
  EXPECT_TRUE(fails_with(pipe_.attach(2, peer_at(6), kStart), Reason::future_sequence));
  EXPECT_TRUE(fails_with(pipe_.attach(2, peer_at(2), kStart), Reason::replay_unavailable));
  EXPECT_TRUE(fails_with(pipe_.attach(1, peer_at(5), kStart), Reason::stale_generation));
  EXPECT_EQ(pipe_.state(), PipeState::connected);
  EXPECT_EQ(pipe_.generation(), 1U);
  EXPECT_EQ(offered(pipe_, kStart), before);
  EXPECT_EQ(pipe_.snapshot(), snapshot);
  receive(pipe_, data_frame(0, "still here")).value();
  EXPECT_EQ(deliver(pipe_), "still here");
}

TEST_F(BackedPipeTakeover, AnAttachThatFailsWhileDisconnectedLosesNothing) {
  write(pipe_, "hello");
  pipe_.connect().value();
  EXPECT_TRUE(fails_with(pipe_.attach(1, peer_at(1), kStart), Reason::future_sequence));
  EXPECT_EQ(pipe_.state(), PipeState::reconnecting);
  EXPECT_TRUE(pipe_.attempt_failed(1));
  ASSERT_TRUE(pipe_.attach(pipe_.connect().value(), peer_at(0), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello");
}

// A candidate is dialled beside a live link, states our position, and comes to nothing.
TEST_F(BackedPipeTakeover, AnAbandonedCandidateDoesNotSwallowAnAcknowledgement) {
  attach();
  receive(pipe_, data_frame(0, "hello")).value();
  take_all(pipe_, kStart);
  deliver(pipe_);
  pipe_.take_position();
  pipe_.tick(at(milliseconds(20)));
  const auto frames = take_frames(pipe_, at(milliseconds(20)));
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().acknowledgement, 5U);
}

TEST_F(BackedPipeTakeover, AnAbandonedCandidateDoesNotSwallowAWindow) {
  attach();
  receive(pipe_, data_frame(0, stream_text(0, 64))).value();
  take_all(pipe_, kStart);
  deliver(pipe_);
  pipe_.take_position();
  EXPECT_EQ(only(FrameType::window, take_frames(pipe_)), just(FrameType::window, 64, 128));
}

TEST_F(BackedPipeTakeover, ANewLinkIsToldTheWindowThatOnlyTheOldOneHasHeard) {
  attach();
  const Position stated = pipe_.take_position();
  receive(pipe_, data_frame(0, stream_text(0, 64))).value();
  deliver(pipe_);
  EXPECT_EQ(only(FrameType::window, take_frames(pipe_)), just(FrameType::window, 64, 128));
  EXPECT_EQ(stated.window_limit, 64U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  EXPECT_EQ(only(FrameType::window, take_frames(pipe_)), just(FrameType::window, 64, 128));
}

TEST_F(BackedPipeTakeover, MayAcknowledgeWhatOnlyTheOldLinkHasCarried) {
  attach();
  write(pipe_, "hello world!");
  take_all(pipe_, kStart);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 12)).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello world!") << "what was offered stays the same";
  EXPECT_EQ(pipe_.writer().acknowledged(), 12U);
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

}  // namespace
}  // namespace backedpipe::test
