// BackedPipe: what it offers to its link.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

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

}  // namespace
}  // namespace backedpipe::test
