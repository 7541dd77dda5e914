#include "pipe/segment_pool.hpp"

#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Use = SegmentPool::Use;

std::vector<SegmentIndex> allocate_all(SegmentPool& pool, Use use) {
  std::vector<SegmentIndex> segments;
  while (const auto segment = pool.allocate(use))
    segments.push_back(*segment);
  return segments;
}

// What one ring gets that takes all it can.
std::size_t take_all_one_may(SegmentPool& pool, Use use, std::size_t held = 0) {
  while (pool.allocate(use, held))
    ++held;
  return held;
}

TEST(SegmentPool, HandsOutEverySegmentOnceUntilItIsExhausted) {
  ArenaPool pool(8, 16);
  const auto segments = allocate_all(*pool, Use::inbound);
  EXPECT_EQ(segments.size(), 8U);
  EXPECT_EQ(std::set(segments.begin(), segments.end()).size(), 8U);
  EXPECT_EQ(pool->segments_in_use(), 8U);
  for (const SegmentIndex segment : segments)
    pool->free(segment, Use::inbound);
  EXPECT_EQ(pool->segments_in_use(), 0U);
}

TEST(SegmentPool, SegmentsDoNotOverlap) {
  std::vector<std::byte> arena(4 * 16);
  SegmentPool pool(arena, 16);
  const auto segments = allocate_all(pool, Use::inbound);
  for (const SegmentIndex segment : segments)
    std::fill_n(pool.data(segment), 16, std::byte(segment + 1));
  for (const SegmentIndex segment : segments) {
    EXPECT_EQ(std::count(arena.begin(), arena.end(), std::byte(segment + 1)), 16);
    EXPECT_EQ(*std::as_const(pool).data(segment), std::byte(segment + 1));
  }
}

TEST(SegmentPool, ReusesTheMostRecentlyFreedFirst) {
  ArenaPool pool(8);
  const auto segments = allocate_all(*pool, Use::inbound);
  pool->free(segments[2], Use::inbound);
  pool->free(segments[6], Use::inbound);
  pool->free(segments[4], Use::inbound);
  EXPECT_EQ(pool->allocate(Use::inbound), segments[4]);
  EXPECT_EQ(pool->allocate(Use::inbound), segments[6]);
  EXPECT_EQ(pool->allocate(Use::inbound), segments[2]);
}

TEST(SegmentPool, PrefersUsedSegmentsToUntouchedOnes) {
  ArenaPool pool(8);
  const auto first = pool->allocate(Use::inbound);
  pool->free(*first, Use::inbound);
  EXPECT_EQ(pool->allocate(Use::outbound), first);
}

TEST(SegmentPool, LeavesAQuarterToWhatComesIn) {
  ArenaPool pool(8);
  EXPECT_EQ(allocate_all(*pool, Use::outbound).size(), 6U);
  EXPECT_EQ(allocate_all(*pool, Use::inbound).size(), 2U);
}

TEST(SegmentPool, WhatComesInDoesNotCountAgainstWhatGoesOut) {
  ArenaPool pool(8);
  for (int i = 0; i < 6; ++i)
    pool->allocate(Use::inbound);
  EXPECT_EQ(allocate_all(*pool, Use::outbound).size(), 2U);
}

TEST(SegmentPool, WhatWentOutLeavesRoomForMore) {
  ArenaPool pool(8);
  const auto segments = allocate_all(*pool, Use::outbound);
  ASSERT_FALSE(pool->allocate(Use::outbound));
  pool->free(segments[3], Use::outbound);
  EXPECT_TRUE(pool->allocate(Use::outbound));
  EXPECT_FALSE(pool->allocate(Use::outbound));
}

TEST(SegmentPool, NobodyHoldsMoreThanTwiceWhatIsLeft) {
  ArenaPool pool(32);
  EXPECT_EQ(take_all_one_may(*pool, Use::outbound), 14U) << "of 24, 4 kept: two thirds of 20";
  ArenaPool other(30);
  EXPECT_EQ(take_all_one_may(*other, Use::inbound), 18U) << "of 30, 3 kept: two thirds of 27";
}

TEST(SegmentPool, HoweverManyHoldWhatTheyCanSomeIsLeftForTheNext) {
  for (const bool outbound_first : {true, false}) {
    ArenaPool pool(512);
    // As the first to stall have it, and as many more in the other direction.
    for (const bool outbound : {outbound_first, !outbound_first}) {
      for (int i = 0; i < 12; ++i)
        take_all_one_may(*pool, outbound ? Use::outbound : Use::inbound);
    }
    EXPECT_GE(take_all_one_may(*pool, Use::outbound), 1U);
    EXPECT_GE(take_all_one_may(*pool, Use::inbound), 1U);
  }
}

TEST(SegmentPool, BytesToSendLeaveTheLastToBytesThatComeIn) {
  ArenaPool pool(32);
  for (int i = 0; i < 20; ++i)
    pool->allocate(Use::inbound);
  EXPECT_EQ(allocate_all(*pool, Use::outbound).size(), 10U);
  EXPECT_EQ(allocate_all(*pool, Use::inbound).size(), 2U);
}

TEST(SegmentPool, WhoHoldsNothingGetsTheLastSegment) {
  ArenaPool pool(4);
  for (int i = 0; i < 3; ++i)
    pool->allocate(Use::inbound);
  EXPECT_FALSE(pool->allocate(Use::inbound, 2));
  EXPECT_TRUE(pool->allocate(Use::inbound, 0));
}

TEST(SegmentPool, WhatIsRestoredMayUseAll) {
  ArenaPool pool(8);
  for (int i = 0; i < 8; ++i)
    EXPECT_TRUE(pool->allocate_restored(Use::outbound)) << i;
  EXPECT_FALSE(pool->allocate_restored(Use::outbound));
  EXPECT_FALSE(pool->allocate(Use::inbound));
  pool->free(0, Use::outbound);
  EXPECT_FALSE(pool->allocate(Use::outbound)) << "it is above its share still";
  EXPECT_TRUE(pool->allocate(Use::inbound));
}

TEST(SegmentPool, TellsOnceThatSomethingWasFreed) {
  ArenaPool pool(8);
  const auto segments = allocate_all(*pool, Use::inbound);
  int calls = 0;
  pool->when_freed([&] { ++calls; });
  EXPECT_EQ(calls, 0);
  pool->free(segments[0], Use::inbound);
  pool->free(segments[1], Use::inbound);
  EXPECT_EQ(calls, 1);
  pool->when_freed([&] { ++calls; });
  pool->free(segments[2], Use::inbound);
  EXPECT_EQ(calls, 2);
}

TEST(SegmentPool, LeavesOutWhatIsBehindTheLastWholeSegment) {
  std::vector<std::byte> arena(3 * 16 + 15);
  SegmentPool pool(arena, 16);
  EXPECT_EQ(pool.segment_count(), 3U);
  EXPECT_EQ(allocate_all(pool, Use::inbound).size(), 3U);
}

TEST(SegmentPool, AnArenaWithoutASegmentIsAlwaysExhausted) {
  std::vector<std::byte> arena(15);
  SegmentPool pool(arena, 16);
  EXPECT_FALSE(pool.allocate(Use::inbound));
  EXPECT_FALSE(pool.allocate(Use::outbound));
}

TEST(SegmentPool, IsScarceBeyondHalf) {
  ArenaPool pool(8);
  for (int i = 0; i < 4; ++i)
    pool->allocate(Use::inbound);
  EXPECT_FALSE(pool->scarce());
  const auto fifth = pool->allocate(Use::inbound);
  EXPECT_TRUE(pool->scarce());
  pool->free(*fifth, Use::inbound);
  EXPECT_FALSE(pool->scarce());
}

TEST(SegmentPoolDeathTest, FreeingWhatWasNeverHandedOutIsABrokenInvariant) {
  ArenaPool pool(8);
  EXPECT_DEATH(pool->free(0, Use::inbound), "broken invariant");
  pool->allocate(Use::inbound);
  EXPECT_DEATH(pool->free(1, Use::inbound), "broken invariant");
}

TEST(SegmentPoolDeathTest, ASegmentSizeThatIsNoPowerOfTwoIsABrokenInvariant) {
  std::vector<std::byte> arena(64);
  EXPECT_DEATH(SegmentPool(arena, 24), "broken invariant");
}

}  // namespace
}  // namespace backedpipe::test
