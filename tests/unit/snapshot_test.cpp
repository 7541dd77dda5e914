// BackedPipe::snapshot and restore.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

class SnapshotTest : public OnePipe {
 protected:
  // A pipe in the middle of a transfer: acknowledged, sent and unsent bytes on one side, delivered
  // and undelivered ones on the other.
  std::vector<std::byte> snapshot_under_way() {
    attach();
    pipe_.write(bytes_of(stream_text(0, 60)));
    take_all(pipe_, kStart);
    receive(pipe_, data_frame(0, stream_text(9, 40), 20)).value();
    deliver(pipe_, kStart, 10);
    pipe_.write(bytes_of(stream_text(60, 15)));
    return pipe_.snapshot();
  }

  Result<void> restore(const std::vector<std::byte>& snapshot) {
    restored_.emplace(*new_pool_, kSmallPipe);
    return restored_->restore(snapshot);
  }

  // Whatever was accepted, a link to it must come to rest and leak nothing.
  void exercise_restored() {
    BackedPipe& pipe = *restored_;
    const Position peer{.delivered = pipe.writer().acknowledged(),
                        .received = pipe.writer().acknowledged(),
                        .window_limit = pipe.writer().acknowledged() + 100};
    pipe.take_position();
    if (pipe.attach(pipe.generation() + 1, peer, kStart)) {
      for (int i = 0; i < 100 && !take(pipe, kStart, SIZE_MAX).empty(); ++i) {
      }
      EXPECT_EQ(offered(pipe, kStart), "") << "it never stops talking";
      const std::uint64_t received = pipe.reader().received_sequence();
      if (received < UINT64_MAX - 10) {
        static_cast<void>(receive(pipe, data_frame(received, "more", peer.delivered)));
      }
      deliver(pipe);
    }
    pipe.close();
    EXPECT_EQ(new_pool_->segments_in_use(), 0U);
  }

  ArenaPool new_pool_;
  std::optional<BackedPipe> restored_;
};

TEST_F(SnapshotTest, AnUnusedPipeIsRestoredAsUnused) {
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_EQ(restored_->state(), PipeState::disconnected);
  EXPECT_EQ(restored_->generation(), 0U);
  EXPECT_EQ(restored_->take_position(), pipe_.take_position());
  EXPECT_EQ(restored_->connect().value(), 1U);
  EXPECT_EQ(new_pool_->segments_in_use(), 0U);
}

TEST_F(SnapshotTest, GoesOnAsIfTheLinkHadDropped) {
  const auto snapshot = snapshot_under_way();
  ASSERT_TRUE(restore(snapshot).has_value());
  EXPECT_EQ(restored_->state(), PipeState::disconnected);
  EXPECT_EQ(restored_->snapshot(), snapshot);
  EXPECT_EQ(restored_->take_position(), pipe_.take_position());
  EXPECT_EQ(deliverable_text(*restored_), stream_text(19, 30));
  EXPECT_EQ(restored_->connect().value(), 2U);
  ASSERT_TRUE(restored_->attach(2, peer_at(30), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(*restored_)), stream_text(30, 45));
}

TEST_F(SnapshotTest, TakingOneChangesNothing) {
  const auto snapshot = snapshot_under_way();
  const std::string before = offered(pipe_, kStart);
  EXPECT_EQ(pipe_.snapshot(), snapshot);
  EXPECT_EQ(offered(pipe_, kStart), before);
}

TEST_F(SnapshotTest, RemembersWhatWasEverSent) {
  snapshot_under_way();
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_TRUE(fails_with(restored_->attach(2, peer_at(61), kStart), Reason::future_sequence));
  EXPECT_TRUE(fails_with(restored_->attach(2, peer_at(19), kStart), Reason::replay_unavailable));
  EXPECT_TRUE(fails_with(restored_->attach(1, peer_at(30), kStart), Reason::stale_generation));
  EXPECT_TRUE(restored_->attach(2, peer_at(60), kStart).has_value());
}

TEST_F(SnapshotTest, RemembersTheEndsOfBothStreams) {
  attach();
  pipe_.finish();
  take_all(pipe_, kStart);
  receive(pipe_, data_frame(0, "bye", 1) + frame_text(FrameType::fin, 1, 3)).value();
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_TRUE(restored_->writer().done());
  EXPECT_EQ(deliver(*restored_), "bye");
  ASSERT_TRUE(restored_->end_due());
  restored_->end_delivered(kStart);
  EXPECT_TRUE(restored_->done());

  deliver(pipe_);
  pipe_.end_delivered(kStart);
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_TRUE(restored_->done());
  EXPECT_FALSE(restored_->end_due());
}

TEST_F(SnapshotTest, RemembersAResetAndSendsItAlone) {
  attach();
  pipe_.write(bytes_of("hello"));
  pipe_.reset(Reason::expired);
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_EQ(restored_->reset_reason(), Reason::expired);
  EXPECT_EQ(new_pool_->segments_in_use(), 0U);
  ASSERT_TRUE(restored_->attach(2, peer_at(0), kStart).has_value());
  const auto frames = take_frames(*restored_);
  EXPECT_EQ(payload_of(frames), "") << "as after any lost link";
  EXPECT_EQ(frames.back().type, FrameType::reset);
}

// What was received and will not be delivered any more is no reason to grant more.
TEST_F(SnapshotTest, AResetWithUndeliveredBytesIsRestoredAsItWas) {
  attach();
  receive(pipe_, data_frame(0, stream_text(0, 40))).value();
  pipe_.reset(Reason::expired);
  const auto snapshot = pipe_.snapshot();
  ASSERT_TRUE(restore(snapshot).has_value());
  EXPECT_EQ(restored_->snapshot(), snapshot);
}

TEST_F(SnapshotTest, RemembersThatThePeerHasEndedTheSession) {
  attach();
  receive(pipe_, frame_text(FrameType::reset, 0, 12)).value();
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_EQ(restored_->reset_received(), Reason::application_reset);
}

TEST_F(SnapshotTest, RemembersThatItIsClosed) {
  attach();
  pipe_.close();
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_EQ(restored_->state(), PipeState::closed);
}

TEST_F(SnapshotTest, APipeThatWasConnectingIsRestoredDisconnected) {
  pipe_.connect().value();
  ASSERT_TRUE(restore(pipe_.snapshot()).has_value());
  EXPECT_EQ(restored_->state(), PipeState::disconnected);
  EXPECT_EQ(restored_->connect().value(), 2U);
}

TEST_F(SnapshotTest, APoolThatCannotHoldTheDataIsAnError) {
  const auto snapshot = snapshot_under_way();
  for (std::size_t segments = 0; segments <= 7; ++segments) {
    ArenaPool small(segments, 16);
    {
      BackedPipe pipe(*small, kSmallPipe);
      const auto restored = pipe.restore(snapshot);
      EXPECT_EQ(restored.has_value(), segments == 7) << segments << " segments";
      EXPECT_TRUE(restored || fails_with(restored, boost::system::errc::no_buffer_space));
    }
    EXPECT_EQ(small->segments_in_use(), 0U);
  }
}

TEST_F(SnapshotTest, NoBytesAreNoSnapshot) {
  EXPECT_TRUE(fails_with(restore({}), Reason::protocol_error));
}

TEST_F(SnapshotTest, ATruncatedSnapshotIsAnErrorAtEveryLength) {
  const auto snapshot = snapshot_under_way();
  for (std::size_t size = 0; size < snapshot.size(); ++size) {
    const auto first = snapshot.begin();
    ASSERT_TRUE(fails_with(restore({first, first + static_cast<std::ptrdiff_t>(size)}),
                           Reason::protocol_error))
        << size;
    restored_.reset();
    ASSERT_EQ(new_pool_->segments_in_use(), 0U);
  }
}

TEST_F(SnapshotTest, ASnapshotWithBytesBehindItIsAnError) {
  auto snapshot = snapshot_under_way();
  snapshot.push_back(std::byte{0});
  EXPECT_TRUE(fails_with(restore(snapshot), Reason::protocol_error));
}

TEST_F(SnapshotTest, AnotherFormatIsAnError) {
  auto snapshot = snapshot_under_way();
  snapshot[3] = std::byte{'2'};
  EXPECT_TRUE(fails_with(restore(snapshot), Reason::protocol_error));
}

// A byte of the streams themselves cannot be told from another, but nothing may crash, leak or
// go round in circles.
TEST_F(SnapshotTest, ASnapshotWithOneWrongByteNeverCrashesOrLeaks) {
  auto snapshot = snapshot_under_way();
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    const std::byte right = snapshot[i];
    for (int wrong = 0; wrong < 256; ++wrong) {
      SCOPED_TRACE(testing::Message() << "byte " << i << " is " << wrong);
      snapshot[i] = std::byte(wrong);
      if (restore(snapshot)) exercise_restored();
      restored_.reset();
      ASSERT_EQ(new_pool_->segments_in_use(), 0U);
      if (HasFailure()) return;
    }
    snapshot[i] = right;
  }
}

TEST_F(SnapshotTest, OffsetsThatContradictEachOtherAreAnError) {
  // Where the fields stand; the header is format, flags, two reasons.
  constexpr std::size_t kFlags = 4;
  constexpr std::size_t kGeneration = 9;
  constexpr std::size_t kAttachedGeneration = kGeneration + 8;
  constexpr std::size_t kHighestSent = kAttachedGeneration + 16;
  constexpr std::size_t kWindowSize = kHighestSent + 8;
  constexpr std::size_t kWindowLimit = kWindowSize + 8;
  const auto right = snapshot_under_way();
  const auto garbled = [&right](std::size_t at_byte, std::uint8_t value) {
    auto snapshot = right;
    snapshot[at_byte] = std::byte(value);
    return snapshot;
  };
  const auto low = [](std::size_t field) { return field + 7; };
  ASSERT_TRUE(restore(right).has_value());
  EXPECT_TRUE(fails_with(restore(garbled(low(kHighestSent), 19)), Reason::protocol_error))
      << "sent less than acknowledged";
  EXPECT_TRUE(fails_with(restore(garbled(low(kHighestSent), 76)), Reason::protocol_error))
      << "sent more than written";
  EXPECT_TRUE(fails_with(restore(garbled(kWindowSize, 1)), Reason::protocol_error))
      << "a window above its maximum";
  EXPECT_TRUE(fails_with(restore(garbled(low(kWindowLimit), 9)), Reason::protocol_error))
      << "a window limit before what was delivered";
  EXPECT_TRUE(fails_with(restore(garbled(low(kAttachedGeneration), 2)), Reason::protocol_error))
      << "a link of a generation that was never begun";
  EXPECT_TRUE(fails_with(restore(garbled(kFlags, 2)), Reason::protocol_error))
      << "an end acknowledged and never written";
  EXPECT_TRUE(fails_with(restore(garbled(kFlags, 16)), Reason::protocol_error))
      << "an end delivered and never received";
  EXPECT_TRUE(fails_with(restore(garbled(kFlags, 64)), Reason::protocol_error))
      << "a flag of no meaning";
}

TEST(SnapshotOfTwoPipes, BothProcessesMayBeReplacedAtAnyStepOfATransfer) {
  for (int steps = 0; steps < 150; ++steps) {
    SCOPED_TRACE(testing::Message() << "replaced after " << steps << " steps");
    PipePair pair;
    pair.client.write(stream_text(0, 300));
    pair.client.finish();
    pair.server.write(stream_text(5, 200));
    pair.server.finish();
    pair.connect();
    for (int i = 0; i < steps; ++i)
      pair.step();
    pair.cut();
    if (steps % 3 != 1) pair.client.move_to_new_process();
    if (steps % 3 != 2) pair.server.move_to_new_process();
    pair.connect();
    ASSERT_TRUE(pair.run());
    expect_all_arrived(pair, stream_text(0, 300), stream_text(5, 200));
    ASSERT_FALSE(HasFailure()) << steps << " steps before the cut";
    ASSERT_EQ(pair.client.pool().segments_in_use(), 0U);
    ASSERT_EQ(pair.server.pool().segments_in_use(), 0U);
  }
}

}  // namespace
}  // namespace backedpipe::test
