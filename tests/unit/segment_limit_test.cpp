#include "session/dial/segment_limit.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::minutes;

TEST(SegmentLimit, OneFruitlessLinkIsBadLuck) {
  SegmentLimit limit;
  EXPECT_EQ(limit.for_dial(0, at(seconds(0))), std::nullopt);
  EXPECT_EQ(limit.for_dial(1, at(seconds(1))), std::nullopt);
}

TEST(SegmentLimit, MoreThanOneMakesSegmentsSmallerAndSmaller) {
  SegmentLimit limit;
  EXPECT_EQ(limit.for_dial(2, at(seconds(2))), 1220);
  EXPECT_EQ(limit.for_dial(3, at(seconds(4))), 536);
  EXPECT_EQ(limit.for_dial(4, at(seconds(8))), std::nullopt) << "it is not the size";
  EXPECT_EQ(limit.for_dial(5, at(seconds(16))), 1220) << "or it is by now";
}

TEST(SegmentLimit, WhatOneSessionFoundOutServesTheOthersForTenMinutes) {
  SegmentLimit limit;
  limit.for_dial(2, at(seconds(0)));
  EXPECT_EQ(limit.for_dial(0, at(minutes(10) - seconds(1))), 1220);
  EXPECT_EQ(limit.for_dial(0, at(minutes(10))), std::nullopt);
}

TEST(SegmentLimit, AnotherNetworkMayCarryMore) {
  SegmentLimit limit;
  limit.for_dial(2, at(seconds(0)));
  limit.forget();
  EXPECT_EQ(limit.for_dial(0, at(seconds(1))), std::nullopt);
}

}  // namespace
}  // namespace backedpipe::test
