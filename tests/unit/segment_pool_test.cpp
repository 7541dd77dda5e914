#include "pipe/segment_pool.hpp"

#include <algorithm>
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

// --- giving memory back

// A pool whose first `count` segments a burst has used, and the segments that trim() gives back.
class TrimmedPool : public testing::Test {
 protected:
  void burst(std::size_t count) {
    std::vector<SegmentIndex> segments;
    for (std::size_t i = 0; i < count; ++i)
      segments.push_back(*pool_.allocate(Use::inbound));
    for (const SegmentIndex segment : segments)
      pool_.free(segment, Use::inbound);
  }

  std::size_t trim(std::size_t keep = 0, std::size_t at_most = 1000) {
    return pool_.trim({.keep = keep, .at_most = at_most}, [this](std::span<std::byte> part) {
      ++calls_;
      std::fill(part.begin(), part.end(), std::byte{0xDD});
    });
  }

  bool discarded(SegmentIndex segment) { return *pool_.data(segment) == std::byte{0xDD}; }

  std::size_t discarded_count() const {
    return static_cast<std::size_t>(std::count(arena_.begin(), arena_.end(), std::byte{0xDD})) / 16;
  }

  std::vector<std::byte> arena_ = std::vector<std::byte>(200 * 16);
  SegmentPool pool_{arena_, 16};
  int calls_ = 0;
};

TEST_F(TrimmedPool, LetsGoOnlyOfWhatWasFreeSinceTheTrimBefore) {
  burst(6);
  EXPECT_EQ(trim(), 0U);
  const SegmentIndex used = *pool_.allocate(Use::inbound);
  pool_.free(used, Use::inbound);
  EXPECT_EQ(trim(), 5U);
  EXPECT_FALSE(discarded(used));
  EXPECT_EQ(trim(), 1U);
  EXPECT_EQ(discarded_count(), 6U);
}

TEST_F(TrimmedPool, NeverTouchesWhatIsInUse) {
  const SegmentIndex held = *pool_.allocate(Use::outbound);
  burst(6);
  trim();
  trim();
  EXPECT_EQ(discarded_count(), 6U);
  EXPECT_FALSE(discarded(held));
}

TEST_F(TrimmedPool, KeepsTheMostRecentlyUsed) {
  burst(6);
  trim();
  EXPECT_EQ(trim(2), 4U);
  EXPECT_FALSE(discarded(4));
  EXPECT_FALSE(discarded(5));
  EXPECT_EQ(pool_.warm_count(), 2U);
  EXPECT_EQ(trim(2), 0U);
}

TEST_F(TrimmedPool, WhatWasTooMuchForOneCallNeedNotGrowOldAgain) {
  const SegmentIndex held = *pool_.allocate(Use::inbound);
  burst(6);
  trim();
  pool_.free(held, Use::inbound);
  EXPECT_EQ(trim(0, 4), 4U);
  EXPECT_EQ(trim(0, 4), 2U);
  EXPECT_FALSE(discarded(held));
}

TEST_F(TrimmedPool, DiscardsNeighboursTogether) {
  std::vector<SegmentIndex> segments = allocate_all(pool_, Use::inbound);
  // Every way round, with one gap.
  for (const SegmentIndex segment : {3U, 1U, 2U, 0U, 7U, 5U, 6U})
    pool_.free(segment, Use::inbound);
  trim();
  EXPECT_EQ(trim(), 7U);
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(discarded_count(), 7U);
  EXPECT_FALSE(discarded(4));
}

TEST_F(TrimmedPool, HandsOutEverySegmentOnceAlsoAfterwards) {
  for (int i = 0; i < 2; ++i) {
    burst(150);
    trim();
    EXPECT_EQ(trim(10), 140U);
  }
  const auto segments = allocate_all(pool_, Use::inbound);
  EXPECT_EQ(segments.size(), 200U);
  EXPECT_EQ(std::set(segments.begin(), segments.end()).size(), 200U);
}

TEST_F(TrimmedPool, HandsOutWarmSegmentsFirstAndThenTheLowest) {
  burst(100);
  trim();
  trim(1);
  EXPECT_EQ(pool_.allocate(Use::inbound), 99U);
  EXPECT_EQ(pool_.allocate(Use::inbound), 0U);
  EXPECT_EQ(pool_.allocate(Use::inbound), 1U);
}

TEST_F(TrimmedPool, SaysOnceWhenThereIsASurplus) {
  int said = 0;
  pool_.when_surplus(3, [&said] { ++said; });
  burst(3);
  EXPECT_EQ(said, 0);
  burst(5);
  EXPECT_EQ(said, 1);
  burst(6);
  EXPECT_EQ(said, 1);
}

}  // namespace
}  // namespace backedpipe::test
