#include "net/monitor/change_filters.hpp"

#include <gtest/gtest.h>

#include "net/monitor/local_addresses.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;

TEST(SuspendWatch, ASecondAsleepIsASuspend) {
  SuspendWatch watch(hours(5));
  EXPECT_FALSE(watch.was_suspended(hours(5)));
  EXPECT_FALSE(watch.was_suspended(hours(5) + milliseconds(1000))) << "not longer than a second";
  EXPECT_TRUE(watch.was_suspended(hours(5) + milliseconds(2001)));
  EXPECT_FALSE(watch.was_suspended(hours(5) + milliseconds(2001))) << "reported once";
  EXPECT_TRUE(watch.was_suspended(hours(13)));
}

TEST(SuspendWatch, AClockReadALittleEarlyIsNoSuspend) {
  SuspendWatch watch(seconds(10));
  EXPECT_FALSE(watch.was_suspended(seconds(10) - milliseconds(1)));
}

TEST(ReportPace, TheFirstChangeIsReportedAtOnce) {
  ReportPace pace;
  EXPECT_EQ(pace.due(at(seconds(1))), at(seconds(1)));
}

TEST(ReportPace, WhatFollowsIsReportedSoonAndThenLessOften) {
  ReportPace pace;
  TimePoint now = at(seconds(1));
  std::vector<Duration> gaps;
  for (int i = 0; i < 7; ++i) {
    pace.reported(now);
    gaps.push_back(pace.due(now) - now);
    now = pace.due(now);
  }
  const std::vector<Duration> expected{milliseconds(10), milliseconds(20),  milliseconds(40),
                                       milliseconds(80), milliseconds(100), milliseconds(100),
                                       milliseconds(100)};
  EXPECT_EQ(gaps, expected);
}

TEST(ReportPace, AfterAQuietSecondTheNextChangeIsAFirstOne) {
  ReportPace pace;
  for (int i = 0; i < 10; ++i)
    pace.reported(at(milliseconds(100) * i));
  const TimePoint later = at(milliseconds(1900));
  EXPECT_EQ(pace.due(later), later);
  pace.reported(later);
  EXPECT_EQ(pace.due(later) - later, milliseconds(10));
}

TEST(LocalAddresses, HasThisMachinesAndNoOthers) {
  const auto addresses = LocalAddresses::now();
  ASSERT_TRUE(addresses);
  EXPECT_TRUE(addresses->contains(boost::asio::ip::make_address("127.0.0.1")));
  // Of a block reserved for documentation (RFC 5737).
  EXPECT_FALSE(addresses->contains(boost::asio::ip::make_address("192.0.2.77")));
}

}  // namespace
}  // namespace backedpipe::test
