// BackedPipe: bytes in both directions, and what a peer may not send.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"
#include "tests/support/placing.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

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

TEST_F(BackedPipeViolations, EachPartOfADataFrameIsJudgedByTheWindowStatedByThen) {
  const std::string text = "abc" + stream_text(3, 77);
  const std::string frame = data_frame(0, text);
  const std::size_t within = kMaxFramePrefixBytes + 64;
  receive(pipe_, frame.substr(0, within)).value();
  EXPECT_EQ(deliver(pipe_), text.substr(0, 64));
  EXPECT_FALSE(only(FrameType::window, take_frames(pipe_)).empty());
  receive(pipe_, frame.substr(within)).value();
  EXPECT_EQ(deliver(pipe_), text.substr(64));
}

TEST_F(BackedPipeViolations, OfAFrameThatCrossesTheWindowOnlyThePartBeyondItBreaksTheRule) {
  const std::string text = "abc" + stream_text(3, 62);
  const std::string frame = data_frame(0, text);
  receive(pipe_, frame.substr(0, frame.size() - 1)).value();
  EXPECT_TRUE(ends_the_session(frame.substr(frame.size() - 1), Reason::window_exceeded));
  EXPECT_EQ(deliver(pipe_), text.substr(0, 64));
}

TEST_F(BackedPipeViolations, AnAcknowledgementIsJudgedBeforeWhatItsFrameCarries) {
  EXPECT_TRUE(ends_the_session(data_frame(5, "gap", 6), Reason::future_sequence));
}

TEST_F(BackedPipeViolations, AGapIsJudgedBeforeTheWindow) {
  EXPECT_TRUE(ends_the_session(data_frame(1000, "x"), Reason::protocol_error));
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

}  // namespace
}  // namespace backedpipe::test
