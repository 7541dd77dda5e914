#include "pipe/backed_pipe.hpp"

#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"
#include "tests/support/placing.hpp"

namespace backedpipe::test {
namespace {

using boost::system::errc::already_connected;
using boost::system::errc::broken_pipe;

constexpr TimePoint kStart = at(seconds(0));

// What a pipe puts on a link when it has nothing but this to say.
std::vector<SeenFrame> just(FrameType type, std::uint64_t acknowledgement,
                            std::uint64_t value = 0) {
  return {{type, acknowledgement, value, ""}};
}

std::size_t write(BackedPipe& pipe, std::string_view text) {
  return pipe.write(bytes_of(text));
}

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

// --- data

class BackedPipeData : public OnePipe {};

TEST_F(BackedPipeData, AWriteBeforeTheFirstLinkIsSentOnConnect) {
  EXPECT_EQ(write(pipe_, "early"), 5U);
  ASSERT_TRUE(pipe_.attach(1, peer_at(0), kStart).has_value());
  EXPECT_EQ(only(FrameType::data, take_frames(pipe_)),
            (std::vector<SeenFrame>{{FrameType::data, 0, 0, "early"}}));
}

TEST_F(BackedPipeData, BytesReadStraightIntoPreparedMemoryAreSent) {
  attach();
  std::array<MutableBytes, 4> pieces;
  ASSERT_EQ(pipe_.prepare(20, pieces), 2U);
  std::memcpy(pieces[0].data(), "hello", 5);
  pipe_.commit(5);
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello");
}

TEST_F(BackedPipeData, APeerAtOffset17GetsExactlyTheBytesAfterItAndThenNewData) {
  attach();
  write(pipe_, stream_text(0, 30));
  take_all(pipe_, kStart);
  lose_link();
  write(pipe_, stream_text(30, 10));
  ASSERT_TRUE(pipe_.attach(2, peer_at(17), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(17, 23));
  write(pipe_, stream_text(40, 5));
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(40, 5));
  EXPECT_EQ(pipe_.replayed_bytes(), 13U);
}

TEST_F(BackedPipeData, ManySmallWritesDuringAReconnectAllArriveInOrder) {
  attach();
  lose_link();
  for (std::uint64_t i = 0; i < 50; ++i)
    EXPECT_EQ(write(pipe_, stream_text(5 * i, 5)), 5U);
  attach();
  write(pipe_, stream_text(250, 6));
  EXPECT_EQ(write(pipe_, "x"), 0U) << "full: unacknowledged bytes are never evicted";
  lose_link();
  ASSERT_TRUE(pipe_.attach(3, peer_at(100), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(100, 156));
}

TEST_F(BackedPipeData, APartOfADataFrameIsDeliveredAsItComes) {
  attach();
  const std::string frame = data_frame(0, "hello");
  for (std::size_t i = 0; i < frame.size(); ++i) {
    EXPECT_EQ(receive(pipe_, std::string_view(frame).substr(i, 1)).value(), 1U);
    const std::size_t expected = i < kMaxFramePrefixBytes ? 0 : i + 1 - kMaxFramePrefixBytes;
    EXPECT_EQ(deliverable_text(pipe_), std::string("hello").substr(0, expected));
  }
}

TEST_F(BackedPipeData, TheRestOfADataFrameCanBePutWhereItBelongs) {
  attach();
  write(pipe_, stream_text(0, 9));
  take_all(pipe_, kStart);
  const std::string text = stream_text(0, 50);
  const std::string frame = data_frame(0, text, 9) + frame_text(FrameType::ping, 9, 4);
  const std::size_t head = kMaxFramePrefixBytes + 3;
  EXPECT_EQ(place(pipe_, 1, bytes_of(frame)), 0U) << "no frame has begun";
  receive(pipe_, frame.substr(0, kMaxFramePrefixBytes)).value();
  EXPECT_EQ(pipe_.writer().acknowledged(), 0U);
  receive(pipe_, frame.substr(kMaxFramePrefixBytes, 3)).value();
  EXPECT_EQ(pipe_.writer().acknowledged(), 9U);
  EXPECT_EQ(place(pipe_, 2, bytes_of(frame).subspan(head)), 0U) << "another link";
  ASSERT_EQ(place(pipe_, 1, bytes_of(frame).subspan(head)), 47U) << "as far as the frame goes";
  const std::string_view behind = std::string_view(frame).substr(head + 47);
  EXPECT_EQ(pipe_.receive(1, bytes_of(behind), kStart, 47).value(), behind.size());
  EXPECT_EQ(only(FrameType::pong, take_frames(pipe_)).size(), 1U);
  EXPECT_EQ(deliver(pipe_), text);
  receive(pipe_, data_frame(50, "next", 9)).value();
  EXPECT_EQ(deliver(pipe_), "next");
}

TEST_F(BackedPipeData, APlacedByteCarriesTheAcknowledgementOfItsFrame) {
  attach();
  write(pipe_, "hello");
  take_all(pipe_, kStart);
  receive(pipe_, data_frame(0, "abc", 5).substr(0, kMaxFramePrefixBytes)).value();
  ASSERT_EQ(place(pipe_, 1, bytes_of("a")), 1U);
  ASSERT_TRUE(pipe_.receive(1, {}, kStart, 1).has_value());
  EXPECT_EQ(pipe_.writer().acknowledged(), 5U);
  receive(pipe_, "bc").value();
  EXPECT_EQ(deliver(pipe_), "abc");
  receive(pipe_, data_frame(3, "de", 6).substr(0, kMaxFramePrefixBytes)).value();
  ASSERT_EQ(place(pipe_, 1, bytes_of("d")), 1U);
  EXPECT_TRUE(fails_with(pipe_.receive(1, {}, kStart, 1), Reason::future_sequence));
}

TEST_F(BackedPipeData, ABytesPlaceIsGivenBackWhenNothingHasCome) {
  attach();
  receive(pipe_, data_frame(0, stream_text(0, 50)).substr(0, kMaxFramePrefixBytes)).value();
  std::array<MutableBytes, 4> pieces;
  EXPECT_EQ(pipe_.prepare_receive(1, 50, pieces), 4U);
  EXPECT_EQ(pool_->segments_in_use(), 4U);
  EXPECT_EQ(pipe_.receive(1, {}, kStart).value(), 0U);
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

TEST_F(BackedPipeData, OnlyNewBytesWithinTheWindowHaveAPlace) {
  attach();
  receive(pipe_, data_frame(0, "abcdef")).value();
  lose_link();
  attach(peer_at(0));
  receive(pipe_, data_frame(3, "defghi").substr(0, kMaxFramePrefixBytes)).value();
  EXPECT_EQ(place(pipe_, 2, bytes_of("def")), 0U) << "a repetition";
  receive(pipe_, "def").value();
  EXPECT_EQ(place(pipe_, 2, bytes_of("ghi")), 3U);
  pipe_.receive(2, {}, kStart, 3).value();
  EXPECT_EQ(deliver(pipe_), "abcdefghi");

  receive(pipe_, data_frame(9, stream_text(0, 60)).substr(0, kMaxFramePrefixBytes)).value();
  EXPECT_EQ(place(pipe_, 2, bytes_of(stream_text(0, 60))), 64U - 9) << "up to the window's limit";
  EXPECT_TRUE(fails_with(pipe_.receive(2, bytes_of("x"), kStart, 55), Reason::window_exceeded));
}

TEST_F(BackedPipeData, NothingHasAPlaceOnceTheSessionIsBeingReset) {
  attach();
  receive(pipe_, data_frame(0, "abc").substr(0, kMaxFramePrefixBytes)).value();
  pipe_.reset(Reason::application_reset);
  EXPECT_EQ(place(pipe_, 1, bytes_of("abc")), 0U);
}

TEST_F(BackedPipeData, TakesFewerBytesWhileMemoryIsExhaustedAndGoesOnWithoutLoss) {
  ArenaPool pool(3, 16);
  BackedPipe pipe(*pool, kSmallPipe);
  ASSERT_TRUE(pipe.attach(1, peer_at(0), kStart).has_value());
  take_all(pipe, kStart);
  const std::string link = data_frame(0, stream_text(0, 40)) + data_frame(40, stream_text(40, 24)) +
                           frame_text(FrameType::ping, 0, 9);
  std::string_view left = link;
  left.remove_prefix(receive(pipe, left).value());
  EXPECT_EQ(left.size(), link.size() - (kMaxFramePrefixBytes + 32))
      << "two segments full, the third left to others";
  EXPECT_EQ(receive(pipe, left).value(), 0U);
  std::string delivered;
  while (!left.empty()) {
    delivered += deliver(pipe, kStart, 20);
    const std::size_t count = receive(pipe, left).value();
    ASSERT_GT(count, 0U);
    left.remove_prefix(count);
  }
  delivered += deliver(pipe);
  EXPECT_EQ(delivered, stream_text(0, 64));
  EXPECT_EQ(only(FrameType::pong, take_frames(pipe)), just(FrameType::pong, 64, 9));
  EXPECT_EQ(pool->segments_in_use(), 0U);
}

TEST_F(BackedPipeData, WhatApplicationsWriteLeavesRoomForOthersAndForWhatComesIn) {
  ArenaPool pool(8, 16);
  BackedPipe pipe(*pool, kSmallPipe);
  EXPECT_EQ(write(pipe, stream_text(0, 200)), 64U) << "two thirds of three quarters";
  ASSERT_TRUE(pipe.attach(1, peer_at(0), kStart).has_value());
  EXPECT_EQ(receive(pipe, data_frame(0, stream_text(0, 32))).value(), 56U)
      << "what comes in still has somewhere to go";
  EXPECT_EQ(deliver(pipe), stream_text(0, 32));
}

TEST_F(BackedPipeData, AnIdleSessionHoldsNoMemory) {
  attach();
  write(pipe_, stream_text(0, 100));
  receive(pipe_, data_frame(0, stream_text(0, 60))).value();
  take_all(pipe_, kStart);
  deliver(pipe_);
  receive(pipe_, frame_text(FrameType::ack, 100)).value();
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

// --- what a peer may not do

class BackedPipeViolations : public OnePipe {
 protected:
  void SetUp() override {
    attach();
    write(pipe_, "hello");
    take_all(pipe_, kStart);
    receive(pipe_, data_frame(0, "abc")).value();
  }

  testing::AssertionResult ends_the_session(std::string_view link_text, Reason reason) {
    const auto fails = fails_with(receive(pipe_, link_text), reason);
    if (!fails) return fails;
    if (!pipe_.violates_session()) return testing::AssertionFailure() << "it blames the link alone";
    return testing::AssertionSuccess();
  }
};

TEST_F(BackedPipeViolations, AnAcknowledgementOfBytesNeverSentEndsTheSession) {
  write(pipe_, "unsent");
  EXPECT_TRUE(ends_the_session(frame_text(FrameType::ack, 6), Reason::future_sequence));
  EXPECT_EQ(pipe_.writer().acknowledged(), 0U);
}

TEST_F(BackedPipeViolations, AnAcknowledgementOfBytesOfferedButNotTakenEndsTheSession) {
  write(pipe_, " world");
  take(pipe_, kStart, kMaxFramePrefixBytes + 2);
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 7)).has_value());
  EXPECT_TRUE(ends_the_session(frame_text(FrameType::ack, 8), Reason::future_sequence));
}

TEST_F(BackedPipeViolations, AnAcknowledgementThatGoesBackIsIgnored) {
  receive(pipe_, frame_text(FrameType::ack, 4)).value();
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::ack, 1)).has_value());
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::window, 0, 10)).has_value());
  EXPECT_EQ(pipe_.writer().acknowledged(), 4U);
}

TEST_F(BackedPipeViolations, AGapInTheOffsetsEndsTheSession) {
  EXPECT_TRUE(ends_the_session(data_frame(4, "x"), Reason::protocol_error));
  EXPECT_EQ(deliver(pipe_), "abc");
}

TEST_F(BackedPipeViolations, AnOverlapIsDroppedByItsOffsets) {
  receive(pipe_, data_frame(1, "bcde")).value();
  receive(pipe_, data_frame(0, "abcd")).value();
  EXPECT_EQ(deliver(pipe_), "abcde");
}

TEST_F(BackedPipeViolations, DataBeyondTheWindowEndsTheSession) {
  EXPECT_TRUE(ends_the_session(data_frame(3, stream_text(3, 62)), Reason::window_exceeded));
}

TEST_F(BackedPipeViolations, AnEndThatContradictsTheDataEndsTheSession) {
  EXPECT_TRUE(ends_the_session(frame_text(FrameType::fin, 0, 2), Reason::protocol_error));
}

TEST_F(BackedPipeViolations, AnEndBehindAGapEndsTheSession) {
  EXPECT_TRUE(ends_the_session(frame_text(FrameType::fin, 0, 4), Reason::protocol_error));
}

TEST_F(BackedPipeViolations, DataBehindTheEndEndsTheSession) {
  receive(pipe_, frame_text(FrameType::fin, 0, 3)).value();
  EXPECT_TRUE(ends_the_session(data_frame(3, "x"), Reason::protocol_error));
}

TEST_F(BackedPipeViolations, BytesThatAreNotFramesAreTheLinksFaultAlone) {
  EXPECT_TRUE(fails_with(receive(pipe_, std::string(16, '\xFF')), Reason::protocol_error));
  EXPECT_FALSE(pipe_.violates_session());
  lose_link();
  attach(peer_at(5));
  receive(pipe_, data_frame(3, "def")).value();
  EXPECT_EQ(deliver(pipe_), "abcdef") << "the next link mends it";
}

TEST_F(BackedPipeViolations, AnOffsetAtTheEndOf64BitsIsRefused) {
  EXPECT_TRUE(fails_with(receive(pipe_, data_frame(UINT64_MAX, "x")), Reason::protocol_error));
}

TEST_F(BackedPipeViolations, AnUnaskedPongIsIgnored) {
  const auto round_trip = pipe_.round_trip();
  ASSERT_TRUE(receive(pipe_, frame_text(FrameType::pong, 0, 77)).has_value());
  EXPECT_EQ(pipe_.round_trip(), round_trip);
}

// --- acknowledgements, windows, pings

class BackedPipeSignals : public OnePipe {
 protected:
  void SetUp() override {
    attach();
    // The PING of the new link is answered, so that nothing else is left to say.
    receive(pipe_, frame_text(FrameType::pong, 0, 1), at(milliseconds(100))).value();
    ASSERT_EQ(pipe_.round_trip(), milliseconds(100));
  }

  // A PING goes out, the one of this token, and is answered.
  void answer_ping(std::uint64_t token, Duration start, Duration round_trip) {
    pipe_.ping(at(start));
    take_all(pipe_, at(start));
    receive(pipe_, frame_text(FrameType::pong, 0, token), at(start + round_trip)).value();
  }
};

TEST_F(BackedPipeSignals, ABareAcknowledgementWaitsTwentyMilliseconds) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, "hello"), now).value();
  EXPECT_FALSE(pipe_.deadline()) << "received is not delivered";
  deliver(pipe_, now);
  EXPECT_EQ(offered(pipe_, now), "");
  EXPECT_EQ(pipe_.deadline(), now + milliseconds(20));
  pipe_.tick(now + milliseconds(19));
  EXPECT_EQ(offered(pipe_, now + milliseconds(19)), "");
  pipe_.tick(now + milliseconds(20));
  EXPECT_FALSE(pipe_.deadline());
  EXPECT_EQ(take_frames(pipe_, now + milliseconds(20)), just(FrameType::ack, 5));
  EXPECT_EQ(offered(pipe_, now + seconds(1)), "");
}

TEST_F(BackedPipeSignals, FurtherDeliveriesDoNotPutTheAcknowledgementOff) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, "hello"), now).value();
  deliver(pipe_, now, 2);
  deliver(pipe_, now + milliseconds(10), 2);
  EXPECT_EQ(pipe_.deadline(), now + milliseconds(20));
}

TEST_F(BackedPipeSignals, AnAcknowledgementThatDataCarriedIsNotRepeated) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, "hello"), now).value();
  deliver(pipe_, now);
  write(pipe_, "answer");
  EXPECT_EQ(take_frames(pipe_, now), (std::vector<SeenFrame>{{FrameType::data, 5, 0, "answer"}}));
  EXPECT_FALSE(pipe_.deadline());
  pipe_.tick(now + milliseconds(20));
  EXPECT_EQ(offered(pipe_, now + milliseconds(20)), "");
}

TEST_F(BackedPipeSignals, ARepeatedAcknowledgementIsNotSent) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, "hello"), now).value();
  deliver(pipe_, now);
  pipe_.tick(now + milliseconds(20));
  take_all(pipe_, now + milliseconds(20));
  receive(pipe_, data_frame(0, "hello"), now + milliseconds(30)).value();
  pipe_.tick(now + seconds(1));
  EXPECT_EQ(take_all(pipe_, now + seconds(1)), "");
}

TEST_F(BackedPipeSignals, AWindowIsStatedOnceAQuarterHasBeenDelivered) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, stream_text(0, 40)), now).value();
  deliver(pipe_, now, 15);
  EXPECT_EQ(offered(pipe_, now), "");
  deliver(pipe_, now, 1);
  EXPECT_EQ(take_frames(pipe_, now), just(FrameType::window, 16, 80));
  EXPECT_EQ(offered(pipe_, now), "");
}

TEST_F(BackedPipeSignals, TheEndIsAcknowledgedAtOnceBehindOurOwn) {
  pipe_.finish();
  take_all(pipe_, kStart);
  receive(pipe_, frame_text(FrameType::fin, 0, 0)).value();
  EXPECT_EQ(offered(pipe_, kStart), "");
  ASSERT_TRUE(pipe_.end_due());
  pipe_.end_delivered(kStart);
  EXPECT_EQ(take_frames(pipe_), just(FrameType::ack, 1));
}

TEST_F(BackedPipeSignals, TheEndIsAcknowledgedWithWhatAnswersIt) {
  receive(pipe_, frame_text(FrameType::fin, 0, 0)).value();
  pipe_.end_delivered(kStart);
  EXPECT_EQ(offered(pipe_, kStart), "");
  pipe_.finish();
  EXPECT_EQ(take_frames(pipe_), just(FrameType::fin, 1, 0));
}

TEST_F(BackedPipeSignals, TheEndIsAcknowledgedSoonWhenNothingAnswersIt) {
  receive(pipe_, frame_text(FrameType::fin, 0, 0)).value();
  pipe_.end_delivered(kStart);
  EXPECT_EQ(pipe_.deadline(), at(milliseconds(20)));
  pipe_.tick(at(milliseconds(20)));
  EXPECT_EQ(take_frames(pipe_, at(milliseconds(20))), just(FrameType::ack, 1));
}

TEST_F(BackedPipeSignals, AFloodOfPingsEarnsOnePong) {
  std::string flood;
  for (std::uint64_t token = 1; token <= 1000; ++token)
    flood += frame_text(FrameType::ping, 0, token);
  receive(pipe_, flood).value();
  EXPECT_EQ(take_frames(pipe_), just(FrameType::pong, 0, 1000));
  EXPECT_EQ(offered(pipe_, kStart), "");
}

TEST_F(BackedPipeSignals, APongGoesBeforeData) {
  write(pipe_, "data");
  receive(pipe_, frame_text(FrameType::ping, 0, 5)).value();
  const auto frames = take_frames(pipe_);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].type, FrameType::pong);
}

TEST_F(BackedPipeSignals, OnePingIsOwedAtATime) {
  EXPECT_FALSE(pipe_.ping_asked_at());
  pipe_.ping(at(seconds(1)));
  pipe_.ping(at(seconds(1)));
  EXPECT_EQ(take_frames(pipe_, at(seconds(1))), just(FrameType::ping, 0, 2));
  EXPECT_EQ(pipe_.ping_asked_at(), at(seconds(1)));
  pipe_.ping(at(seconds(1)));
  EXPECT_EQ(offered(pipe_, at(seconds(2))), "");
  receive(pipe_, frame_text(FrameType::pong, 0, 1), at(seconds(2))).value();
  EXPECT_EQ(pipe_.ping_asked_at(), at(seconds(1))) << "an older ping's answer";
  receive(pipe_, frame_text(FrameType::pong, 0, 2), at(seconds(2))).value();
  EXPECT_FALSE(pipe_.ping_asked_at());
}

TEST_F(BackedPipeSignals, TheRoundTripIsSmoothed) {
  pipe_.ping(kStart);
  take_all(pipe_, at(seconds(1)));
  receive(pipe_, frame_text(FrameType::pong, 0, 2), at(milliseconds(1900))).value();
  EXPECT_EQ(pipe_.round_trip(), milliseconds(200)) << "100 ms + (900 ms - 100 ms) / 8";
}

TEST_F(BackedPipeSignals, TheRoundTripIsMeasuredOnceASecondWhileDataFlows) {
  int pings = 0;
  std::uint64_t token = 1;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const TimePoint now = at(milliseconds(100) * (i + 2));
    receive(pipe_, data_frame(i, "x"), now).value();
    deliver(pipe_, now);
    if (only(FrameType::ping, take_frames(pipe_, now)).empty()) continue;
    ++pings;
    receive(pipe_, frame_text(FrameType::pong, 0, ++token), now).value();
  }
  EXPECT_EQ(pings, 5);
}

// Who only sends has a queue to fill as well.
TEST_F(BackedPipeSignals, TheRoundTripIsMeasuredWhileDataIsAcknowledged) {
  write(pipe_, "ab");
  take_all(pipe_, at(seconds(2)));
  receive(pipe_, frame_text(FrameType::ack, 1), at(seconds(2))).value();
  EXPECT_EQ(pipe_.ping_asked_at(), at(seconds(2)));
}

TEST_F(BackedPipeSignals, AnAcknowledgementThatSaysNothingNewIsNoDataThatFlows) {
  receive(pipe_, frame_text(FrameType::ack, 0), at(seconds(2))).value();
  EXPECT_FALSE(pipe_.ping_asked_at());
}

TEST_F(BackedPipeSignals, TheLeastRoundTripIsOfTheLatestThree) {
  std::uint64_t token = 1;
  const auto measure = [&](Duration start, Duration round_trip) {
    answer_ping(++token, start, round_trip);
    return *pipe_.least_round_trip();
  };
  EXPECT_EQ(measure(seconds(1), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(measure(seconds(2), milliseconds(200)), milliseconds(100));
  EXPECT_EQ(measure(seconds(3), milliseconds(400)), milliseconds(200)) << "the 100 ms are too old";
  EXPECT_EQ(measure(seconds(4), milliseconds(400)), milliseconds(200));
  EXPECT_EQ(measure(seconds(5), milliseconds(400)), milliseconds(400));
}

TEST_F(BackedPipeSignals, TheLeastOfAWayIsRememberedForFiveToTenMinutes) {
  std::uint64_t token = 1;
  const auto least_after = [&](Duration start, Duration round_trip) {
    answer_ping(++token, start, round_trip);
    return pipe_.way()->least;
  };
  EXPECT_EQ(least_after(seconds(1), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(299), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(301), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(302), milliseconds(200)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(600), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(602), milliseconds(300)), milliseconds(200));
  EXPECT_EQ(least_after(seconds(603), milliseconds(50)), milliseconds(50)) << "at once";
}

// It may have gone across an outage.
TEST_F(BackedPipeSignals, AnUnusualRoundTripIsMeasuredAgainAsSoonAsDataFlows) {
  pipe_.ping(at(seconds(1)));
  take_all(pipe_, at(seconds(1)));
  const TimePoint now = at(milliseconds(1300));
  receive(pipe_, frame_text(FrameType::pong, 0, 2), now).value();
  EXPECT_FALSE(pipe_.ping_asked_at()) << "an idle link is left alone";
  receive(pipe_, data_frame(0, "x"), now).value();
  EXPECT_EQ(pipe_.ping_asked_at(), now);
  take_all(pipe_, now);
  receive(pipe_, frame_text(FrameType::pong, 0, 3), now + milliseconds(100)).value();
  receive(pipe_, data_frame(1, "x"), now + milliseconds(100)).value();
  EXPECT_FALSE(pipe_.ping_asked_at()) << "once";
}

TEST_F(BackedPipeSignals, AnotherLinkIsMeasuredAnew) {
  attach();
  receive(pipe_, frame_text(FrameType::pong, 0, 2), at(milliseconds(900))).value();
  EXPECT_EQ(pipe_.round_trip(), milliseconds(900));
  EXPECT_EQ(pipe_.least_round_trip(), milliseconds(900));
  EXPECT_EQ(pipe_.way()->least, milliseconds(900));
}

TEST_F(BackedPipeSignals, ALinkOwesAnAnswerWhileDataIsOut) {
  EXPECT_FALSE(pipe_.unanswered_since());
  write(pipe_, "hello");
  take_all(pipe_, at(seconds(1)));
  write(pipe_, "hello");
  take_all(pipe_, at(seconds(2)));
  EXPECT_EQ(pipe_.unanswered_since(), at(seconds(1)));
  receive(pipe_, frame_text(FrameType::ack, 5), at(seconds(3))).value();
  EXPECT_FALSE(pipe_.unanswered_since());
  EXPECT_EQ(pipe_.last_received_at(), at(seconds(3)));
}

TEST_F(BackedPipeSignals, NothingIsOwedByALinkThatIsGone) {
  write(pipe_, "hello");
  pipe_.ping(kStart);
  take_all(pipe_, at(seconds(1)));
  lose_link();
  EXPECT_FALSE(pipe_.unanswered_since());
  EXPECT_FALSE(pipe_.ping_asked_at());
}

// An application that takes everything at once, as fast as the window allows.
void take_a_lot(BackedPipe& pipe, std::uint64_t from, TimePoint now) {
  std::uint64_t offset = from;
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(1);
    receive(pipe, data_frame(offset, stream_text(offset, 32)), now).value();
    offset += deliver(pipe, now).size();
    take_all(pipe, now);
  }
}

TEST_F(BackedPipeSignals, TheWindowGrowsWithTheRoundTripUpToItsMaximum) {
  take_a_lot(pipe_, 0, at(milliseconds(200)));
  EXPECT_EQ(pipe_.reader().window().size_bytes(), 256U);
}

TEST_F(BackedPipeSignals, TheWindowDoesNotGrowWhileMemoryIsScarce) {
  while (!pool_->scarce())
    pool_->allocate(SegmentPool::Use::inbound);
  take_a_lot(pipe_, 0, at(milliseconds(200)));
  EXPECT_EQ(pipe_.reader().window().size_bytes(), 64U);
}

TEST_F(BackedPipeSignals, NothingIsSentBeyondThePeersWindow) {
  lose_link();
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello");
  receive(pipe_, frame_text(FrameType::window, 0, 8)).value();
  EXPECT_EQ(payload_of(take_frames(pipe_)), " wo");
  receive(pipe_, frame_text(FrameType::window, 0, 2)).value();
  EXPECT_EQ(payload_of(take_frames(pipe_)), "");
}

// --- what is offered

class BackedPipeOutgoing : public OnePipe {};

TEST_F(BackedPipeOutgoing, OffersTheSameBytesAgainUntilTheyAreTaken) {
  attach();
  write(pipe_, stream_text(0, 100));
  const std::string whole = offered(pipe_, kStart);
  std::string taken;
  for (std::size_t step = 1; taken.size() < whole.size(); ++step) {
    ASSERT_EQ(offered(pipe_, kStart), whole.substr(taken.size()));
    ASSERT_EQ(offered(pipe_, at(seconds(1))), whole.substr(taken.size()));
    taken += take(pipe_, kStart, step % 9);
  }
  EXPECT_EQ(taken, whole);
  EXPECT_EQ(offered(pipe_, kStart), "");
}

TEST_F(BackedPipeOutgoing, WhatIsOfferedStaysTheSameWhateverHappensMeanwhile) {
  attach();
  write(pipe_, stream_text(0, 100));
  const std::string whole = offered(pipe_, kStart);
  std::string taken;
  std::uint64_t written = 100;
  std::uint64_t incoming = 0;
  while (taken.size() < whole.size()) {
    taken += take(pipe_, kStart, 3);
    const TimePoint now = at(milliseconds(taken.size()));
    written += write(pipe_, stream_text(written, 2));
    const std::uint64_t sent = pipe_.writer().sent();
    receive(pipe_, data_frame(incoming, stream_text(incoming, 1), sent), now).value();
    incoming += deliver(pipe_, now).size();
    receive(pipe_, frame_text(FrameType::ping, sent, incoming), now).value();
    receive(pipe_, frame_text(FrameType::window, sent, 10000), now).value();
    pipe_.tick(now);
    ASSERT_EQ(pipe_.writer().acknowledged(), sent);
    if (taken.size() < whole.size()) {
      ASSERT_EQ(offered(pipe_, now), whole.substr(taken.size()));
    }
  }
  EXPECT_EQ(taken, whole);
  pipe_.finish();
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(100, written - 100));
}

TEST_F(BackedPipeOutgoing, AResetDoesNotChangeWhatTheLinkIsInTheMiddleOf) {
  attach();
  write(pipe_, "hello");
  const std::string whole = offered(pipe_, kStart);
  take(pipe_, kStart, 26);
  pipe_.reset(Reason::application_reset);
  EXPECT_EQ(offered(pipe_, kStart), whole.substr(26));
}

TEST_F(BackedPipeOutgoing, ALargeTransferGoesOutInFramesThatAReceiverMustAccept) {
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  ArenaPool pool(192, 64 << 10);
  BackedPipe pipe(*pool, {.replay_buffer_bytes = kBytes});
  ASSERT_EQ(write(pipe, stream_text(0, kBytes)), kBytes);
  ASSERT_TRUE(pipe.attach(1, peer_at(0, kBytes), kStart).has_value());
  const auto frames = only(FrameType::data, take_frames(pipe));
  for (const SeenFrame& frame : frames)
    EXPECT_LE(frame.payload.size(), kMaxPayloadBytes);
  EXPECT_EQ(payload_of(frames), stream_text(0, kBytes));
}

TEST_F(BackedPipeOutgoing, AFillingFollowsWhatTheLinkTakesAtOnce) {
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  constexpr std::size_t kKiB = 1024;
  ArenaPool pool(192, 64 << 10);
  BackedPipe pipe(*pool, {.replay_buffer_bytes = kBytes});
  ASSERT_EQ(write(pipe, stream_text(0, kBytes)), kBytes);
  ASSERT_TRUE(pipe.attach(1, peer_at(0, kBytes), kStart).has_value());
  const auto filling = [&](bool whole) {
    const std::string text = offered(pipe, kStart);
    if (!whole) pipe.sent(1, 1);
    pipe.sent(1, text.size() - (whole ? 0 : 1));
    return payload_of(frames_in(text)).size();
  };
  EXPECT_EQ(filling(true), 64 * kKiB);
  EXPECT_EQ(filling(true), 128 * kKiB);
  EXPECT_EQ(filling(false), 256 * kKiB);
  EXPECT_EQ(filling(false), 128 * kKiB);
  EXPECT_EQ(filling(true), 64 * kKiB);
  EXPECT_EQ(filling(true), 128 * kKiB);
}

// --- the end

class BackedPipeEnd : public OnePipe {};

TEST_F(BackedPipeEnd, TheEndTravelsAfterAllData) {
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  pipe_.finish();
  EXPECT_EQ(write(pipe_, "late"), 0U);
  EXPECT_TRUE(only(FrameType::fin, take_frames(pipe_)).empty());
  receive(pipe_, frame_text(FrameType::window, 0, 100)).value();
  const auto frames = take_frames(pipe_);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].payload, " world");
  EXPECT_EQ(frames[1], just(FrameType::fin, 0, 11)[0]);
  EXPECT_EQ(offered(pipe_, kStart), "");
}

TEST_F(BackedPipeEnd, AnEndThatIsNotAcknowledgedIsReplayed) {
  attach();
  write(pipe_, "bye");
  pipe_.finish();
  take_all(pipe_, kStart);
  lose_link();
  ASSERT_TRUE(pipe_.attach(2, peer_at(3), kStart).has_value());
  EXPECT_EQ(only(FrameType::fin, take_frames(pipe_)), just(FrameType::fin, 0, 3));
  receive(pipe_, frame_text(FrameType::ack, 4)).value();
  EXPECT_TRUE(pipe_.writer().done());
  lose_link();
  ASSERT_TRUE(pipe_.attach(3, peer_at(4), kStart).has_value());
  EXPECT_TRUE(only(FrameType::fin, take_frames(pipe_)).empty());
}

TEST_F(BackedPipeEnd, AnEndReceivedTwiceIsPassedOnOnce) {
  attach();
  receive(pipe_, data_frame(0, "bye") + frame_text(FrameType::fin, 0, 3)).value();
  deliver(pipe_);
  ASSERT_TRUE(pipe_.end_due());
  pipe_.end_delivered(kStart);
  lose_link();
  EXPECT_EQ(pipe_.take_position().delivered, 4U);
  attach();
  receive(pipe_, frame_text(FrameType::fin, 0, 3)).value();
  EXPECT_FALSE(pipe_.end_due());
}

TEST_F(BackedPipeEnd, AnEndReceivedAndNotDeliveredStaysAcrossALostLink) {
  attach();
  receive(pipe_, data_frame(0, "bye") + frame_text(FrameType::fin, 0, 3)).value();
  lose_link();
  EXPECT_EQ(pipe_.take_position(), (Position{.delivered = 0, .received = 4, .window_limit = 64}));
  EXPECT_EQ(deliver(pipe_), "bye");
  EXPECT_TRUE(pipe_.end_due());
}

TEST_F(BackedPipeEnd, OurEndFirstThenThePeers) {
  attach();
  write(pipe_, "request");
  pipe_.finish();
  take_all(pipe_, kStart);
  receive(pipe_, data_frame(0, "answer", 8)).value();
  EXPECT_EQ(deliver(pipe_), "answer") << "the other direction goes on";
  EXPECT_FALSE(pipe_.done());
  receive(pipe_, frame_text(FrameType::fin, 8, 6)).value();
  ASSERT_TRUE(pipe_.end_due());
  EXPECT_FALSE(pipe_.done());
  pipe_.end_delivered(kStart);
  EXPECT_TRUE(pipe_.done());
  EXPECT_EQ(take_frames(pipe_).back().acknowledgement, 7U);
}

TEST_F(BackedPipeEnd, ThePeersEndFirstThenOurs) {
  attach();
  receive(pipe_, frame_text(FrameType::fin, 0, 0)).value();
  pipe_.end_delivered(kStart);
  write(pipe_, "answer");
  EXPECT_EQ(payload_of(take_frames(pipe_)), "answer");
  pipe_.finish();
  take_all(pipe_, kStart);
  EXPECT_FALSE(pipe_.done());
  receive(pipe_, frame_text(FrameType::ack, 7)).value();
  EXPECT_TRUE(pipe_.done());
}

TEST_F(BackedPipeEnd, AResetFollowsHeldDataAsFarAsTheWindowAllows) {
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  pipe_.reset(Reason::application_reset);
  EXPECT_TRUE(pipe_.resetting());
  const auto frames = take_frames(pipe_);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].payload, "hello");
  EXPECT_EQ(frames[1].type, FrameType::reset);
  EXPECT_EQ(frames[1].value, static_cast<std::uint64_t>(Reason::application_reset));
  EXPECT_TRUE(pipe_.reset_sent());
  receive(pipe_, frame_text(FrameType::window, 0, 100)).value();
  pipe_.ping(kStart);
  EXPECT_EQ(offered(pipe_, kStart), "") << "nothing follows a RESET";
}

TEST_F(BackedPipeEnd, AResetGoesAtOnceWhenTheWindowIsClosed) {
  attach(peer_at(0, 0));
  write(pipe_, "hello");
  pipe_.reset(Reason::closed_by_operator);
  EXPECT_FALSE(pipe_.reset_sent());
  EXPECT_EQ(take_frames(pipe_),
            just(FrameType::reset, 0, static_cast<std::uint64_t>(Reason::closed_by_operator)));
}

TEST_F(BackedPipeEnd, AResetIsSentOnceItsLastByteIsTaken) {
  attach();
  pipe_.reset(Reason::expired);
  take(pipe_, kStart, kFrameHeaderBytes + 1);
  EXPECT_FALSE(pipe_.reset_sent());
  take(pipe_, kStart, 1);
  EXPECT_TRUE(pipe_.reset_sent());
}

TEST_F(BackedPipeEnd, AfterALostLinkTheResetGoesAlone) {
  attach();
  write(pipe_, "hello");
  pipe_.finish();
  pipe_.reset(Reason::application_reset);
  take(pipe_, kStart, 10);
  lose_link();
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  const auto frames = take_frames(pipe_);
  EXPECT_EQ(payload_of(frames), "");
  EXPECT_TRUE(only(FrameType::fin, frames).empty());
  EXPECT_EQ(only(FrameType::reset, frames).size(), 1U);
}

TEST_F(BackedPipeEnd, AResetWithoutALinkGoesAloneOnTheNext) {
  write(pipe_, "hello");
  pipe_.reset(Reason::application_reset);
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  ASSERT_TRUE(pipe_.attach(1, peer_at(0), kStart).has_value());
  EXPECT_EQ(take_frames(pipe_).back().type, FrameType::reset);
}

TEST_F(BackedPipeEnd, AResetLostWithItsLinkIsSentAgain) {
  attach();
  pipe_.reset(Reason::application_reset);
  take_all(pipe_, kStart);
  EXPECT_TRUE(pipe_.reset_sent());
  lose_link();
  EXPECT_FALSE(pipe_.reset_sent());
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  EXPECT_EQ(take_frames(pipe_).back().type, FrameType::reset);
}

TEST_F(BackedPipeEnd, TheFirstReasonStands) {
  pipe_.reset(Reason::application_reset);
  pipe_.reset(Reason::expired);
  EXPECT_EQ(pipe_.reset_reason(), Reason::application_reset);
}

TEST_F(BackedPipeEnd, WhileResettingNothingIsReadOrDelivered) {
  attach();
  receive(pipe_, data_frame(0, "hello") + frame_text(FrameType::fin, 0, 5)).value();
  pipe_.reset(Reason::application_reset);
  EXPECT_EQ(deliver(pipe_), "");
  EXPECT_FALSE(pipe_.end_due()) << "a stream cut short must not look as if it had ended";
  EXPECT_EQ(write(pipe_, "more"), 0U);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(pipe_.prepare(10, pieces), 0U);
}

TEST_F(BackedPipeEnd, WhileResettingThePeersDataIsDroppedButItsWindowCounts) {
  attach(peer_at(0, 3));
  write(pipe_, "hello");
  offered(pipe_, kStart);
  pipe_.reset(Reason::application_reset);
  EXPECT_TRUE(receive(pipe_, data_frame(0, stream_text(0, 200)) +
                                 frame_text(FrameType::fin, 0, 200) +
                                 frame_text(FrameType::window, 0, 100))
                  .has_value());
  EXPECT_EQ(deliver(pipe_), "");
  EXPECT_FALSE(pipe_.end_due());
  const auto frames = take_frames(pipe_);
  EXPECT_EQ(payload_of(frames), "hello");
  EXPECT_EQ(frames.back().type, FrameType::reset);
}

TEST_F(BackedPipeEnd, BytesAfterAResetAreIgnored) {
  attach();
  const std::string link = data_frame(0, "hello") + frame_text(FrameType::reset, 0, 12) +
                           data_frame(5, "more") + std::string(40, '\xFF');
  EXPECT_EQ(receive(pipe_, link).value(), link.size());
  EXPECT_EQ(pipe_.reset_received(), Reason::application_reset);
  EXPECT_EQ(receive(pipe_, "anything").value(), 8U);
  EXPECT_EQ(deliver(pipe_), "hello") << "what came before it is still there";
}

TEST_F(BackedPipeEnd, AnsweringAPeersResetKeepsWhatCameBeforeIt) {
  attach();
  receive(pipe_, data_frame(0, "hello") + frame_text(FrameType::reset, 0, 12)).value();
  pipe_.reset(Reason::application_reset);
  EXPECT_EQ(deliver(pipe_), "hello");
}

TEST_F(BackedPipeEnd, AReasonThatThisVersionDoesNotKnowIsKept) {
  attach();
  receive(pipe_, frame_text(FrameType::reset, 0, 0x1234)).value();
  EXPECT_EQ(pipe_.reset_received(), static_cast<Reason>(0x1234));
}

// --- two pipes

class TwoPipes : public testing::Test {};

TEST_F(TwoPipes, ARoundTrip) {
  PipePair pair;
  pair.connect();
  pair.client.write("ping");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), "ping");
  pair.server.write("pong");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "pong");
  EXPECT_EQ(pair.client.pool().segments_in_use(), 0U);
  EXPECT_EQ(pair.server.pool().segments_in_use(), 0U);
}

TEST_F(TwoPipes, EndsTravelInBothDirectionsByThemselves) {
  PipePair pair;
  pair.connect();
  pair.client.write("request");
  pair.client.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.ends(), 1);
  EXPECT_EQ(pair.client.ends(), 0);
  pair.server.write("answer");
  pair.server.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "answer");
  EXPECT_TRUE(pair.client->done());
  EXPECT_TRUE(pair.server->done());
}

TEST_F(TwoPipes, EveryFragmentSizeCarriesTheSameStreams) {
  for (const std::size_t fragment : {1U, 2U, 15U, 16U, 17U, 25U, 64U, 1000U}) {
    SCOPED_TRACE(testing::Message() << "fragments of " << fragment);
    PipePair pair({.fragment_bytes = fragment, .in_flight_bytes = 1000});
    pair.connect();
    pair.client.write(stream_text(0, 3000));
    pair.client.finish();
    pair.server.write(stream_text(7, 2000));
    pair.server.finish();
    ASSERT_TRUE(pair.run());
    EXPECT_EQ(pair.server.received(), stream_text(0, 3000));
    EXPECT_EQ(pair.client.received(), stream_text(7, 2000));
    EXPECT_TRUE(pair.client->done() && pair.server->done());
  }
}

TEST_F(TwoPipes, ALinkCutAtAnyStepLosesAndRepeatsNothing) {
  for (int steps = 0; steps < 160; ++steps) {
    SCOPED_TRACE(testing::Message() << "cut after " << steps << " steps");
    PipePair pair;
    pair.connect();
    pair.client.write(stream_text(0, 300));
    pair.client.finish();
    pair.server.write(stream_text(5, 200));
    pair.server.finish();
    for (int i = 0; i < steps; ++i)
      pair.step();
    pair.cut();
    pair.connect();
    ASSERT_TRUE(pair.run());
    ASSERT_EQ(pair.server.received(), stream_text(0, 300));
    ASSERT_EQ(pair.client.received(), stream_text(5, 200));
    ASSERT_EQ(pair.client.ends(), 1);
    ASSERT_EQ(pair.server.ends(), 1);
    ASSERT_TRUE(pair.client->done() && pair.server->done());
  }
}

TEST_F(TwoPipes, AThousandCutsLoseAndRepeatNothing) {
  PipePair pair;
  pair.client.write(stream_text(0, 20000));
  pair.client.finish();
  pair.server.write(stream_text(5, 20000));
  pair.server.finish();
  for (int cut = 0; cut < 1000; ++cut) {
    pair.connect();
    for (int i = 0; i < 20 + cut % 17; ++i)
      pair.step();
    pair.cut();
  }
  pair.connect();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 20000));
  EXPECT_EQ(pair.client.received(), stream_text(5, 20000));
}

TEST_F(TwoPipes, AnApplicationThatDoesNotReadHoldsUpItsOwnDirectionOnly) {
  PipePair pair;
  pair.connect();
  pair.server.read(false);
  pair.client.write(stream_text(0, 1000));
  pair.server.write(stream_text(5, 1000));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), stream_text(5, 1000));
  EXPECT_EQ(pair.server.received(), "");
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 1000));
}

TEST_F(TwoPipes, ACrowdedPoolSlowsAndLosesNothing) {
  PipePair pair({.segment_count = 4, .segment_bytes = 16});
  pair.connect();
  pair.client.write(stream_text(0, 2000));
  pair.server.write(stream_text(5, 2000));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 2000));
  EXPECT_EQ(pair.client.received(), stream_text(5, 2000));
}

// --- faults that the origin of this protocol is known to have, by their number in that list

class KnownFault : public OnePipe {};

TEST_F(KnownFault, KnownFault1AnIdleReadBlocksNeitherReconnectNorClose) {
  attach();
  const std::string half = data_frame(0, "hello").substr(0, 20);
  receive(pipe_, half).value();
  EXPECT_EQ(pipe_.reconnect().value(), 2U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  receive(pipe_, half).value();
  pipe_.close();
  EXPECT_EQ(pipe_.state(), PipeState::closed);
}

TEST_F(KnownFault, KnownFault2AFailedReplayDoesNotWedgeThePipe) {
  attach();
  write(pipe_, stream_text(0, 200));
  take_all(pipe_, kStart);
  lose_link();
  for (std::uint64_t attempt = 2; attempt < 10; ++attempt) {
    ASSERT_TRUE(pipe_.attach(attempt, peer_at(0), kStart).has_value());
    take(pipe_, kStart, 30 * attempt);
    ASSERT_TRUE(pipe_.detach(link_error(attempt, LinkError::Component::writer)));
  }
  EXPECT_EQ(write(pipe_, stream_text(200, 20)), 20U);
  ASSERT_TRUE(pipe_.attach(10, peer_at(0), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(0, 220));
}

TEST_F(KnownFault, KnownFault4AStaleErrorHidesNoCurrentOne) {
  attach();
  lose_link();
  attach();
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::reader)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_TRUE(pipe_.detach(link_error(2, LinkError::Component::writer)));
  EXPECT_EQ(pipe_.last_error()->generation, 2U);
  EXPECT_EQ(pipe_.last_error()->component, LinkError::Component::writer);
}

TEST_F(KnownFault, KnownFault5TheOffsetIsTakenWhenTheOldLinkCanChangeItNoMore) {
  attach();
  receive(pipe_, data_frame(0, "hello")).value();
  pipe_.reconnect().value();
  const Position position = pipe_.take_position();
  EXPECT_EQ(pipe_.receive(1, bytes_of(data_frame(5, " world")), kStart).value(), 30U);
  EXPECT_EQ(pipe_.take_position(), position);
  EXPECT_EQ(position.received, 5U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  receive(pipe_, data_frame(5, " world")).value();
  EXPECT_EQ(deliver(pipe_), "hello world");
}

TEST(KnownFaultOfTwoPipes, KnownFault5NoByteTravelsTwiceThatHadArrived) {
  PipePair pair({.fragment_bytes = 10000, .in_flight_bytes = 10000});
  pair.connect();
  pair.server.read(false);
  pair.client.write(stream_text(0, 60));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server->reader().received_sequence(), 60U);
  pair.cut();
  pair.connect();
  const std::size_t before = pair.carried_bytes();
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 60));
  EXPECT_EQ(pair.client->replayed_bytes(), 0U);
  EXPECT_LT(pair.carried_bytes() - before, 10 * kMaxFramePrefixBytes) << "signals only";
}

TEST(KnownFaultOfTwoPipes, KnownFault7AReplayOfAnySizeGoesThrough) {
  constexpr std::size_t kBytes = std::size_t{3} << 20;
  PipePair pair({.fragment_bytes = 100000,
                 .in_flight_bytes = 1 << 20,
                 .pipe = {.replay_buffer_bytes = kBytes, .initial_window_bytes = kBytes},
                 .segment_count = 128,
                 .segment_bytes = 64 << 10});
  pair.connect();
  pair.client.write(stream_text(0, kBytes));
  for (int i = 0; i < 10; ++i)
    pair.step();
  pair.cut();
  // Everything the first link took is sent once more.
  pair.connect();
  ASSERT_TRUE(pair.run());
  EXPECT_TRUE(pair.server.received() == stream_text(0, kBytes));
  EXPECT_GT(kBytes, kMaxPayloadBytes) << "more than one frame can hold";
}

TEST(KnownFaultOfTwoPipes, KnownFault8TheBufferShrinksWithAcknowledgements) {
  PipePair pair;
  pair.connect();
  const std::size_t total = 100 * kSmallPipe.replay_buffer_bytes;
  pair.client.write(stream_text(0, total));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received().size(), total);
  EXPECT_EQ(pair.client->writer().acknowledged(), total);
  EXPECT_EQ(pair.client.pool().segments_in_use(), 0U);
}

TEST_F(KnownFault, KnownFault9PermanentAndTransientFailuresAreToldApart) {
  attach();
  write(pipe_, "hello");
  take_all(pipe_, kStart);
  // A link that breaks, or that garbles its framing: the next one goes on.
  EXPECT_TRUE(fails_with(receive(pipe_, std::string(16, '\0')), Reason::protocol_error));
  EXPECT_FALSE(pipe_.violates_session());
  lose_link();
  EXPECT_EQ(pipe_.state(), PipeState::disconnected);
  // A peer whose offsets no link can mend.
  const auto refused = pipe_.attach(2, peer_at(6), kStart);
  ASSERT_TRUE(fails_with(refused, Reason::future_sequence));
  EXPECT_FALSE(is_transient(*reason_of(refused.error())));
  attach();
  EXPECT_TRUE(fails_with(receive(pipe_, data_frame(1, "x")), Reason::protocol_error));
  EXPECT_TRUE(pipe_.violates_session());
}

TEST(KnownFaultOfTwoPipes, KnownFault11TheClientLearnsThatTheServiceHasClosed) {
  PipePair pair;
  pair.connect();
  pair.server.write("goodbye");
  pair.server.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "goodbye");
  EXPECT_EQ(pair.client.ends(), 1);
  pair.client.write("still talking");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), "still talking");
}

TEST(KnownFaultOfTwoPipes, KnownFault12TwoLargeReplaysAtOnceDoNotDeadlock) {
  PipePair pair({.fragment_bytes = 16, .in_flight_bytes = 16});
  pair.connect();
  const std::size_t full = kSmallPipe.replay_buffer_bytes;
  pair.client.read(false);
  pair.server.read(false);
  pair.client.write(stream_text(0, 2 * full));
  pair.server.write(stream_text(5, 2 * full));
  ASSERT_TRUE(pair.run());
  pair.cut();
  pair.connect();
  pair.client.read(true);
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 2 * full));
  EXPECT_EQ(pair.client.received(), stream_text(5, 2 * full));
}

}  // namespace
}  // namespace backedpipe::test
