// BackedPipe: acknowledgements, windows and pings.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

class BackedPipeSignals : public OnePipe {
 protected:
  void SetUp() override {
    attach();
    // The PING of the new link is answered, so that nothing else is left to say.
    receive(pipe_, frame_text(FrameType::pong, 0, 1), at(milliseconds(100))).value();
    ASSERT_EQ(pipe_.round_trip(), milliseconds(100));
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

TEST_F(BackedPipeSignals, WhatWasReceivedAndNotDeliveredIsNotAcknowledged) {
  const TimePoint now = at(milliseconds(200));
  receive(pipe_, data_frame(0, "hello"), now).value();
  deliver(pipe_, now, 2);
  write(pipe_, "answer");
  EXPECT_EQ(take_frames(pipe_, now), (std::vector<SeenFrame>{{FrameType::data, 2, 0, "answer"}}));
  EXPECT_EQ(pipe_.take_position(), (Position{.delivered = 2, .received = 5, .window_limit = 66}));
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

class BackedPipeWindow : public OnePipe {};

TEST_F(BackedPipeWindow, NothingIsSentBeyondThePeers) {
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello");
  receive(pipe_, frame_text(FrameType::window, 0, 8)).value();
  EXPECT_EQ(payload_of(take_frames(pipe_)), " wo");
  receive(pipe_, frame_text(FrameType::window, 0, 2)).value();
  EXPECT_EQ(payload_of(take_frames(pipe_)), "");
}

TEST_F(BackedPipeWindow, ALowerOneInAHandshakeChangesNothing) {
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  EXPECT_EQ(payload_of(take_frames(pipe_)), "hello");
  lose_link();
  ASSERT_TRUE(pipe_.attach(2, peer_at(5, 2), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), "");
  receive(pipe_, frame_text(FrameType::window, 0, 8)).value();
  EXPECT_EQ(payload_of(take_frames(pipe_)), " wo");
  lose_link();
  ASSERT_TRUE(pipe_.attach(3, peer_at(5, 0), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), " wo") << "what was granted stays granted";
}

}  // namespace
}  // namespace backedpipe::test
