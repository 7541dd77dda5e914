#include "session/dial/segment_limit.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::minutes;

std::optional<std::uint16_t> chosen(SegmentLimit& limit, std::uint32_t fruitless, Duration time) {
  return limit.for_dial(fruitless, at(time)).bytes;
}

TEST(SegmentLimit, OneFruitlessLinkIsBadLuck) {
  SegmentLimit limit;
  EXPECT_EQ(chosen(limit, 0, seconds(0)), std::nullopt);
  EXPECT_EQ(chosen(limit, 1, seconds(1)), std::nullopt);
}

TEST(SegmentLimit, MoreThanOneMakesSegmentsSmallerAndSmaller) {
  SegmentLimit limit;
  EXPECT_EQ(chosen(limit, 2, seconds(2)), 1220);
  EXPECT_EQ(chosen(limit, 3, seconds(4)), 536);
  EXPECT_EQ(chosen(limit, 4, seconds(8)), std::nullopt) << "it is not the size";
  EXPECT_EQ(chosen(limit, 5, seconds(16)), 1220) << "or it is by now";
}

TEST(SegmentLimit, WhatOneSessionFoundOutServesTheOthersForTenMinutes) {
  SegmentLimit limit;
  chosen(limit, 2, seconds(0));
  EXPECT_EQ(chosen(limit, 0, minutes(10) - seconds(1)), 1220);
  EXPECT_EQ(chosen(limit, 0, minutes(10)), std::nullopt);
}

TEST(SegmentLimit, ASessionThatNoSizeHelpsTakesNothingFromTheOthers) {
  SegmentLimit limit;
  chosen(limit, 2, seconds(0));
  chosen(limit, 4, seconds(1));
  EXPECT_EQ(chosen(limit, 0, seconds(2)), 1220);
}

TEST(SegmentLimit, AFindingIsNewOnce) {
  SegmentLimit limit;
  EXPECT_FALSE(limit.for_dial(1, at(seconds(0))).is_new);
  EXPECT_TRUE(limit.for_dial(2, at(seconds(1))).is_new);
  EXPECT_FALSE(limit.for_dial(2, at(seconds(2))).is_new);
  EXPECT_FALSE(limit.for_dial(0, at(seconds(3))).is_new);
  EXPECT_TRUE(limit.for_dial(3, at(seconds(4))).is_new) << "another size";
}

TEST(SegmentLimit, AnotherNetworkMayCarryMore) {
  SegmentLimit limit;
  chosen(limit, 2, seconds(0));
  limit.forget();
  EXPECT_EQ(chosen(limit, 0, seconds(1)), std::nullopt);
}

}  // namespace
}  // namespace backedpipe::test
