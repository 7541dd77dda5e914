// BackedPipe: both ways in which a session ends.
#include <array>

#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

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

TEST_F(BackedPipeEnd, AResetGoesBeforeAnythingButData) {
  attach();
  pipe_.ping(kStart);
  receive(pipe_, frame_text(FrameType::ping, 0, 7)).value();
  pipe_.reset(Reason::future_sequence);
  EXPECT_EQ(frames_in(take_all(pipe_, kStart)),
            just(FrameType::reset, 0, static_cast<std::uint64_t>(Reason::future_sequence)));
}

TEST_F(BackedPipeEnd, WhileDataGoesBeforeAResetPingsAreAnswered) {
  attach(peer_at(0, 5));
  write(pipe_, "hello world");
  receive(pipe_, frame_text(FrameType::ping, 0, 7)).value();
  pipe_.reset(Reason::closed_by_operator);
  const auto frames = take_frames(pipe_);
  EXPECT_EQ(only(FrameType::pong, frames).size(), 1U);
  EXPECT_EQ(payload_of(frames), "hello");
  EXPECT_EQ(frames.back().type, FrameType::reset);
}

TEST_F(BackedPipeEnd, AResetCountsWhateverItAcknowledges) {
  attach();
  receive(pipe_,
          frame_text(FrameType::reset, UINT64_MAX, static_cast<std::uint64_t>(Reason::expired)))
      .value();
  EXPECT_EQ(pipe_.reset_received(), Reason::expired);
  EXPECT_FALSE(pipe_.violates_session());
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

}  // namespace
}  // namespace backedpipe::test
