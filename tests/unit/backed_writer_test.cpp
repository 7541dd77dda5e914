#include "pipe/backed_writer.hpp"

#include <array>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class BackedWriterTest : public testing::Test {
 protected:
  // Puts all that may go into frames, and the link takes it; returns the bytes.
  std::string send() {
    const std::size_t count = writer_.sendable();
    std::string text(count, '\0');
    if (count == 0) return text;
    EXPECT_TRUE(writer_.ring()
                    .copy(writer_.next_offset(), std::as_writable_bytes(std::span(text)))
                    .has_value());
    writer_.schedule(count);
    writer_.mark_sent(writer_.next_offset());
    return text;
  }

  void send_fin() {
    ASSERT_TRUE(writer_.fin_sendable());
    writer_.schedule(1);
    writer_.mark_sent(writer_.next_offset());
  }

  std::size_t write(std::string_view text) { return writer_.write(bytes_of(text)); }

  ArenaPool pool_;
  BackedWriter writer_{*pool_, 40};
};

TEST_F(BackedWriterTest, StartsDetachedAtOffsetZero) {
  EXPECT_FALSE(writer_.attached());
  EXPECT_EQ(writer_.acknowledged(), 0U);
  EXPECT_EQ(writer_.sent(), 0U);
  EXPECT_EQ(writer_.end(), 0U);
  EXPECT_FALSE(writer_.finished());
  EXPECT_FALSE(writer_.done());
}

TEST_F(BackedWriterTest, TakesBytesWhileDetachedUpToTheCapacityThenPushesBack) {
  const std::string text = stream_text(0, 60);
  EXPECT_EQ(write(text), 40U);
  EXPECT_EQ(write("more"), 0U);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(writer_.prepare(1, pieces), 0U);
  EXPECT_EQ(send(), "") << "nothing goes out without a link";
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_EQ(send(), text.substr(0, 40));
}

TEST_F(BackedWriterTest, ReplaysAllThatThePeerLacksAndNothingElse) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_EQ(send(), "hello world!");
  const Position has_five{.delivered = 0, .received = 5, .window_limit = 100};
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_EQ(send(), "hello world!");
  ASSERT_TRUE(writer_.attach(has_five).has_value());
  EXPECT_EQ(send(), " world!");
  ASSERT_TRUE(writer_.attach(peer_at(12)).has_value());
  EXPECT_EQ(send(), "");
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

TEST_F(BackedWriterTest, ReplayStartsBehindWhatWasReceivedNotBehindWhatWasDelivered) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  ASSERT_TRUE(writer_.attach({.delivered = 3, .received = 8, .window_limit = 100}).has_value());
  EXPECT_EQ(writer_.acknowledged(), 3U);
  EXPECT_EQ(send(), "rld!");
}

TEST_F(BackedWriterTest, AShortWriteToTheLinkIsReplayedOnceOnTheNext) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  writer_.schedule(12);
  writer_.mark_sent(4);
  writer_.detach();
  EXPECT_EQ(writer_.highest_sent(), 4U);
  ASSERT_TRUE(writer_.attach(peer_at(4)).has_value());
  EXPECT_EQ(send(), "o world!");
  EXPECT_EQ(send(), "");
}

TEST_F(BackedWriterTest, APeerAheadOfWhatWasEverSentIsFutureSequence) {
  write("hello");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_TRUE(fails_with(writer_.attach(peer_at(1)), Reason::future_sequence));
  send();
  EXPECT_TRUE(fails_with(writer_.attach(peer_at(6)), Reason::future_sequence));
  EXPECT_TRUE(writer_.attach(peer_at(5)).has_value());
}

TEST_F(BackedWriterTest, WrittenButNeverSentCountsAsTheFuture) {
  write("hello");
  EXPECT_TRUE(fails_with(writer_.attach(peer_at(5)), Reason::future_sequence));
}

TEST_F(BackedWriterTest, APeerBehindWhatItHadAcknowledgedIsReplayUnavailable) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  ASSERT_TRUE(writer_.acknowledge(6).has_value());
  EXPECT_TRUE(fails_with(writer_.attach(peer_at(5)), Reason::replay_unavailable));
  EXPECT_TRUE(writer_.attach(peer_at(6)).has_value());
}

TEST_F(BackedWriterTest, APeerThatDeliveredMoreThanItReceivedIsReplayUnavailable) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  EXPECT_TRUE(fails_with(writer_.attach({.delivered = 8, .received = 7, .window_limit = 100}),
                         Reason::replay_unavailable));
}

TEST_F(BackedWriterTest, AnAttachThatFailsLeavesEverythingAsItWas) {
  write("hello world!");
  EXPECT_TRUE(fails_with(writer_.attach(peer_at(1)), Reason::future_sequence));
  EXPECT_FALSE(writer_.attached());
  EXPECT_EQ(writer_.end(), 12U);
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_EQ(send(), "hello world!");
  EXPECT_FALSE(writer_.attach(peer_at(13)).has_value());
  EXPECT_TRUE(writer_.attached());
  EXPECT_EQ(writer_.next_offset(), 12U);
}

TEST_F(BackedWriterTest, SendsNothingBeyondThePeersWindow) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0, 5)).has_value());
  EXPECT_EQ(send(), "hello");
  writer_.raise_limit(5);
  EXPECT_EQ(send(), "");
  writer_.raise_limit(7);
  writer_.raise_limit(3);
  EXPECT_EQ(send(), " w");
  writer_.finish();
  EXPECT_FALSE(writer_.fin_sendable());
  writer_.raise_limit(12);
  EXPECT_EQ(send(), "orld!");
  EXPECT_TRUE(writer_.fin_sendable()) << "the end of the stream needs no credit";
}

TEST_F(BackedWriterTest, ALowerWindowInAHandshakeTakesNothingBack) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0, 8)).has_value());
  EXPECT_EQ(send(), "hello wo");
  writer_.detach();
  ASSERT_TRUE(writer_.attach(peer_at(0, 3)).has_value());
  EXPECT_EQ(send(), "hello wo") << "as far as was granted before";
  writer_.detach();
  ASSERT_TRUE(writer_.attach(peer_at(8, 10)).has_value());
  EXPECT_EQ(send(), "rl");
}

TEST_F(BackedWriterTest, AcknowledgedBytesMakeRoom) {
  write(stream_text(0, 40));
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  ASSERT_TRUE(writer_.acknowledge(30).has_value());
  EXPECT_EQ(pool_->segments_in_use(), 2U);
  EXPECT_EQ(write(stream_text(40, 60)), 30U);
  EXPECT_EQ(send(), stream_text(40, 30));
  ASSERT_TRUE(writer_.acknowledge(70).has_value());
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

TEST_F(BackedWriterTest, AnOlderAcknowledgementIsNoNews) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  ASSERT_TRUE(writer_.acknowledge(8).has_value());
  ASSERT_TRUE(writer_.acknowledge(3).has_value());
  ASSERT_TRUE(writer_.acknowledge(8).has_value());
  EXPECT_EQ(writer_.acknowledged(), 8U);
}

TEST_F(BackedWriterTest, AnAcknowledgementOfBytesNeverSentIsFutureSequence) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  writer_.schedule(12);
  writer_.mark_sent(4);
  EXPECT_TRUE(fails_with(writer_.acknowledge(5), Reason::future_sequence));
  EXPECT_TRUE(fails_with(writer_.acknowledge(UINT64_MAX), Reason::future_sequence));
  EXPECT_EQ(writer_.acknowledged(), 0U);
  EXPECT_TRUE(writer_.acknowledge(4).has_value());
}

// A peer states its position, goes on receiving on the old link, and then changes to the new one.
TEST_F(BackedWriterTest, BytesAcknowledgedBeforeTheyAreReplayedStayUntilTheLinkHasTakenThem) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  ASSERT_TRUE(writer_.attach(peer_at(2)).has_value());
  writer_.schedule(10);
  ASSERT_TRUE(writer_.acknowledge(12).has_value());
  EXPECT_EQ(writer_.acknowledged(), 2U);
  EXPECT_EQ(held_text(writer_.ring(), 2), "llo world!");
  writer_.mark_sent(7);
  EXPECT_EQ(writer_.acknowledged(), 7U);
  writer_.mark_sent(12);
  EXPECT_EQ(writer_.acknowledged(), 12U) << "the peer need not say it again";
}

TEST_F(BackedWriterTest, TheEndOfTheStreamIsSentAcknowledgedAndReplayedLikeAByte) {
  write("bye");
  writer_.finish();
  EXPECT_EQ(writer_.end(), 4U);
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  EXPECT_FALSE(writer_.fin_sendable()) << "data first";
  send();
  send_fin();
  EXPECT_FALSE(writer_.fin_sendable());
  ASSERT_TRUE(writer_.acknowledge(3).has_value());
  EXPECT_FALSE(writer_.done());

  ASSERT_TRUE(writer_.attach(peer_at(3)).has_value());
  EXPECT_TRUE(fails_with(writer_.acknowledge(5), Reason::future_sequence));
  send_fin();
  ASSERT_TRUE(writer_.acknowledge(4).has_value());
  EXPECT_TRUE(writer_.done());
  EXPECT_EQ(writer_.acknowledged(), 4U);
  ASSERT_TRUE(writer_.attach(peer_at(4)).has_value());
  EXPECT_FALSE(writer_.fin_sendable());
}

TEST_F(BackedWriterTest, AnEndThatThePeerReceivedAndNotYetDeliveredIsNotReplayed) {
  write("bye");
  writer_.finish();
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  send_fin();
  ASSERT_TRUE(writer_.attach({.delivered = 1, .received = 4, .window_limit = 100}).has_value());
  EXPECT_EQ(send(), "");
  EXPECT_FALSE(writer_.fin_sendable());
  ASSERT_TRUE(writer_.acknowledge(4).has_value());
  EXPECT_TRUE(writer_.done());
}

TEST_F(BackedWriterTest, TakesNothingBehindTheEndOfTheStream) {
  writer_.finish();
  EXPECT_EQ(write("late"), 0U);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(writer_.prepare(4, pieces), 0U);
  EXPECT_EQ(writer_.end(), 1U);
}

TEST_F(BackedWriterTest, OnceDiscardedItHoldsNothingAndObjectsToNothing) {
  write("hello world!");
  ASSERT_TRUE(writer_.attach(peer_at(0)).has_value());
  send();
  writer_.discard();
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  EXPECT_TRUE(writer_.acknowledge(5).has_value());
  EXPECT_TRUE(writer_.attach(peer_at(3)).has_value());
  EXPECT_EQ(writer_.sendable(), 0U);
}

}  // namespace
}  // namespace backedpipe::test
