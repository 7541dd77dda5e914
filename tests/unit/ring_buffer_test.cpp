#include "pipe/ring_buffer.hpp"

#include <array>
#include <cstring>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Use = SegmentPool::Use;

std::string last(const RingBuffer& ring, std::size_t count) {
  return held_text(ring, ring.end() - count);
}

// As a socket fills prepared memory.
std::size_t fill(std::span<const MutableBytes> pieces, std::string_view text) {
  std::size_t filled = 0;
  for (const MutableBytes piece : pieces) {
    if (filled == text.size()) break;
    const std::size_t count = std::min(piece.size(), text.size() - filled);
    std::memcpy(piece.data(), text.data() + filled, count);
    filled += count;
  }
  return filled;
}

TEST(RingBuffer, TheLastBytesWrittenCanBeReadBack) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 100);
  ring.write(bytes_of("hello"));
  ring.write(bytes_of("world"));
  EXPECT_EQ(last(ring, 5), "world");
  EXPECT_EQ(last(ring, 3), "rld");
  EXPECT_EQ(last(ring, 10), "helloworld");
}

TEST(RingBuffer, AskingForMoreThanIsThereIsAnError) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 100);
  ring.write(bytes_of("helloworld"));
  ring.release(4);
  std::array<std::byte, 7> out;
  EXPECT_TRUE(fails_with(ring.copy(3, out), Reason::replay_unavailable));
  EXPECT_TRUE(fails_with(ring.copy(4, out), Reason::future_sequence));
  EXPECT_TRUE(fails_with(ring.copy(11, out), Reason::future_sequence));
  EXPECT_TRUE(ring.copy(4, std::span(out).first(6)).has_value());
  EXPECT_TRUE(ring.copy(10, {}).has_value());
}

TEST(RingBuffer, RefusesWhatDoesNotFitAndKeepsEveryUnacknowledgedByte) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 5);
  EXPECT_EQ(ring.write(bytes_of("abcde")), 5U);
  EXPECT_EQ(ring.write(bytes_of("fgh")), 0U);
  EXPECT_EQ(last(ring, 5), "abcde");

  ring.release(3);
  EXPECT_EQ(ring.write(bytes_of("fgh")), 3U);
  EXPECT_EQ(held_text(ring, 3), "defgh");
  EXPECT_EQ(ring.end(), 8U);
}

TEST(RingBuffer, TakesAPartOfInputLargerThanTheCapacity) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 37);
  const std::string text = stream_text(0, 50);
  EXPECT_EQ(ring.write(bytes_of(text)), 37U);
  EXPECT_EQ(held_text(ring, 0), text.substr(0, 37));
  EXPECT_EQ(ring.write(bytes_of(text.substr(37))), 0U);
}

TEST(RingBuffer, AnEmptyWriteOrReadChangesNothing) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 5);
  EXPECT_EQ(ring.write({}), 0U);
  EXPECT_EQ(pool->segments_in_use(), 0U);
  ring.write(bytes_of("abc"));
  EXPECT_EQ(ring.write({}), 0U);
  ring.commit(0);
  ring.release(0);
  EXPECT_EQ(held_text(ring, 0), "abc");
  std::array<ConstBytes, 2> pieces;
  EXPECT_EQ(ring.read(0, 0, pieces), 0U);
  EXPECT_EQ(ring.read(3, 5, pieces), 0U);
  EXPECT_EQ(ring.read(0, 5, {}), 0U);
}

struct RingShape {
  std::size_t segment_bytes;
  std::size_t capacity_bytes;
};

class RingBufferOfAnyShape : public testing::TestWithParam<RingShape> {};

TEST_P(RingBufferOfAnyShape, ManySmallWritesReadBackAsOneStreamAcrossSegmentsAndWraps) {
  const auto [segment_bytes, capacity] = GetParam();
  ArenaPool pool(64, segment_bytes);
  RingBuffer ring(*pool, Use::inbound, capacity);
  const std::size_t total = 40 * capacity;
  std::string written;
  std::string read;
  for (std::size_t round = 0; read.size() < total; ++round) {
    const std::string more = stream_text(written.size(), 1 + round % (capacity + 2));
    const std::size_t count = ring.write(bytes_of(more));
    written += more.substr(0, count);
    ASSERT_EQ(ring.size(), written.size() - read.size());
    ASSERT_EQ(count, std::min(more.size(), capacity - (ring.size() - count)));

    const std::string held = held_text(ring, ring.begin());
    const std::size_t taken = std::min(held.size(), 1 + round % 3 * capacity / 2);
    read += held.substr(0, taken);
    ring.release(ring.begin() + taken);
    ASSERT_LE(ring.segment_count(), capacity / segment_bytes + 2);
    ASSERT_EQ(pool->segments_in_use(), ring.segment_count());
  }
  EXPECT_EQ(read, written.substr(0, read.size()));
  ring.clear();
  EXPECT_EQ(pool->segments_in_use(), 0U);
}

TEST_P(RingBufferOfAnyShape, AgreesWithAStringUnderAnySequenceOfCalls) {
  const auto [segment_bytes, capacity] = GetParam();
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const auto below = [&random](std::size_t limit) { return random() % (limit + 1); };
    ArenaPool pool(1 + below(capacity / segment_bytes + 2), segment_bytes);
    RingBuffer ring(*pool, Use::inbound, capacity);
    std::string model;
    for (int call = 0; call < 300; ++call) {
      const std::string more = stream_text(ring.end(), below(capacity + 3));
      switch (below(5)) {
        case 0:
          model += more.substr(0, ring.write(bytes_of(more)));
          break;
        case 1: {
          std::array<MutableBytes, 3> pieces;
          const std::size_t count = ring.prepare(more.size(), pieces);
          const std::size_t filled = below(fill(std::span(pieces).first(count), more));
          ring.commit(filled);
          model += more.substr(0, filled);
          break;
        }
        case 2: {
          std::array<MutableBytes, 2> given_up;
          ring.prepare(more.size(), given_up);
          break;
        }
        case 3:
        case 4: {
          const std::size_t count = below(model.size());
          ring.release(ring.begin() + count);
          model.erase(0, count);
          break;
        }
        case 5:
          if (!model.empty()) break;
          ring.clear();
          ring.restart(ring.end() + below(100));
          break;
      }
      ASSERT_EQ(held_text(ring, ring.begin()), model);
      ASSERT_EQ(pool->segments_in_use(), ring.segment_count());
    }
    ring.clear();
    ASSERT_EQ(pool->segments_in_use(), 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RingBufferOfAnyShape,
                         testing::Values(RingShape{1, 1}, RingShape{4, 5}, RingShape{4, 3},
                                         RingShape{8, 8}, RingShape{8, 33}, RingShape{16, 64},
                                         RingShape{2, 61}));

TEST(RingBuffer, HoldsNoSegmentWhileItIsEmpty) {
  ArenaPool pool;
  RingBuffer ring(*pool, Use::inbound, 100);
  EXPECT_EQ(pool->segments_in_use(), 0U);
  ring.write(bytes_of(stream_text(0, 100)));
  EXPECT_EQ(pool->segments_in_use(), 7U);
  ring.release(100);
  EXPECT_EQ(pool->segments_in_use(), 0U);
  EXPECT_EQ(ring.begin(), 100U);
}

TEST(RingBuffer, GivesASegmentBackAsSoonAsEveryByteInItIsReleased) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 100);
  ring.write(bytes_of(stream_text(0, 40)));
  ring.release(15);
  EXPECT_EQ(pool->segments_in_use(), 3U);
  ring.release(16);
  EXPECT_EQ(pool->segments_in_use(), 2U);
  ring.release(39);
  EXPECT_EQ(pool->segments_in_use(), 1U);
  EXPECT_EQ(held_text(ring, 39), stream_text(39, 1));
}

TEST(RingBuffer, TheSegmentGivenBackLastIsTheNextOneUsed) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 100);
  RingBuffer other(*pool, Use::inbound, 100);
  ring.write(bytes_of(stream_text(0, 16)));
  std::array<ConstBytes, 1> before;
  ring.read(0, 16, before);
  ring.clear();
  other.write(bytes_of("x"));
  std::array<ConstBytes, 1> after;
  other.read(0, 1, after);
  EXPECT_EQ(before[0].data(), after[0].data());
}

TEST(RingBuffer, ADestroyedRingGivesItsSegmentsBack) {
  ArenaPool pool;
  {
    RingBuffer ring(*pool, Use::inbound, 100);
    ring.write(bytes_of(stream_text(0, 60)));
    ring.release(20);
    std::array<MutableBytes, 4> pieces;
    ring.prepare(40, pieces);
  }
  EXPECT_EQ(pool->segments_in_use(), 0U);
}

TEST(RingBuffer, BytesReadStraightIntoPreparedMemoryBecomePartOfTheStream) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 50);
  ring.write(bytes_of(stream_text(0, 10)));
  std::array<MutableBytes, 4> pieces;
  const std::size_t count = ring.prepare(1000, pieces);
  ASSERT_EQ(count, 4U);
  EXPECT_EQ(pieces[0].size(), 6U);
  EXPECT_EQ(pieces[3].size(), 2U);
  EXPECT_EQ(fill(pieces, stream_text(10, 40)), 40U);
  ring.commit(40);
  EXPECT_EQ(held_text(ring, 0), stream_text(0, 50));
  EXPECT_EQ(ring.prepare(1, pieces), 0U);
}

TEST(RingBuffer, WhatWasPreparedAndNotCommittedIsGivenBack) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 100);
  std::array<MutableBytes, 8> pieces;
  ring.prepare(100, pieces);
  EXPECT_EQ(pool->segments_in_use(), 7U);
  fill(pieces, stream_text(0, 17));
  ring.commit(17);
  EXPECT_EQ(pool->segments_in_use(), 2U);
  ring.prepare(50, pieces);
  ring.commit(0);
  EXPECT_EQ(pool->segments_in_use(), 2U);
  ring.clear();
  ring.prepare(50, pieces);
  ring.commit(0);
  EXPECT_EQ(pool->segments_in_use(), 0U);
}

TEST(RingBuffer, PreparesNoMorePiecesThanThereIsRoomFor) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 100);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(ring.prepare(100, pieces), 2U);
  EXPECT_EQ(pool->segments_in_use(), 2U);
  EXPECT_EQ(ring.prepare(0, pieces), 0U);
}

TEST(RingBuffer, AnExhaustedPoolMeansAShortCountAndNoLoss) {
  ArenaPool pool(6, 16);
  RingBuffer ring(*pool, Use::inbound, 1000);
  const std::string text = stream_text(0, 100);
  EXPECT_EQ(ring.write(bytes_of(text)), 64U);
  std::array<MutableBytes, 2> pieces;
  EXPECT_EQ(ring.prepare(10, pieces), 0U);
  ring.release(16);
  EXPECT_EQ(ring.write(bytes_of(text.substr(64))), 16U);
  EXPECT_EQ(held_text(ring, 16), text.substr(16, 64));
}

TEST(RingBuffer, BytesThatGoOutLeaveAQuarterOfThePool) {
  ArenaPool pool(4, 16);
  RingBuffer rings[3]{
      {*pool, Use::outbound, 16}, {*pool, Use::outbound, 16}, {*pool, Use::outbound, 16}};
  for (RingBuffer& ring : rings)
    EXPECT_EQ(ring.write(bytes_of(stream_text(0, 100))), 16U);
  RingBuffer fourth(*pool, Use::outbound, 16);
  EXPECT_EQ(fourth.write(bytes_of("x")), 0U);
}

TEST(RingBuffer, HoldsAtMostTwiceWhatItLeaves) {
  ArenaPool pool(9, 16);
  RingBuffer ring(*pool, Use::inbound, 1000);
  EXPECT_EQ(ring.write(bytes_of(stream_text(0, 200))), 96U);
  ring.release(16);
  EXPECT_EQ(ring.write(bytes_of(stream_text(96, 200))), 16U) << "and goes on as it gives back";
}

TEST(RingBuffer, RestoresWithAllOfThePool) {
  ArenaPool pool(4, 16);
  RingBuffer ring(*pool, Use::outbound, 1000);
  EXPECT_EQ(ring.restore(32, std::array{bytes_of(stream_text(32, 100))}), 64U);
  EXPECT_EQ(held_text(ring, 32), stream_text(32, 64));
  ring.release(48);
  EXPECT_EQ(ring.write(bytes_of("x")), 0U) << "three quarters again, once that is done";
}

TEST(RingBuffer, ReadsAtMostWhatIsAskedForAsPiecesOfTheirSegments) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 100);
  ring.write(bytes_of(stream_text(0, 60)));
  std::array<ConstBytes, 8> pieces;
  ASSERT_EQ(ring.read(10, 30, pieces), 3U);
  EXPECT_EQ(text_of(std::span(pieces).first(3)), stream_text(10, 30));
  ASSERT_EQ(ring.read(10, 30, std::span(pieces).first(2)), 2U);
  EXPECT_EQ(text_of(std::span(pieces).first(2)), stream_text(10, 22));
}

TEST(RingBuffer, AnEmptyRingCanGoOnAtAnyOffset) {
  ArenaPool pool(64, 16);
  RingBuffer ring(*pool, Use::inbound, 40);
  const std::uint64_t far = (std::uint64_t{1} << 40) + 5;
  ring.restart(far);
  EXPECT_EQ(ring.write(bytes_of(stream_text(far, 50))), 40U);
  EXPECT_EQ(ring.begin(), far);
  EXPECT_EQ(held_text(ring, far), stream_text(far, 40));
}

}  // namespace
}  // namespace backedpipe::test
