#include "pipe/round_trips.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class RoundTripsTest : public testing::Test {
 protected:
  // A PING is sent and answered.
  void measure(Duration start, Duration round_trip) {
    round_trips_.ask(at(start));
    const std::uint64_t token = round_trips_.ping_sent(at(start));
    round_trips_.pong_received(token, at(start + round_trip));
  }

  RoundTrips round_trips_;
};

// A link whose first measurement was 100 ms.
class MeasuredRoundTrips : public RoundTripsTest {
 protected:
  void SetUp() override {
    measure(seconds(0), milliseconds(100));
    ASSERT_EQ(round_trips_.smoothed(), milliseconds(100));
  }
};

TEST_F(RoundTripsTest, NothingIsKnownBeforeTheFirstMeasurement) {
  EXPECT_FALSE(round_trips_.smoothed());
  EXPECT_FALSE(round_trips_.least_of_latest());
  EXPECT_FALSE(round_trips_.path());
  EXPECT_FALSE(round_trips_.ping_due());
}

TEST_F(RoundTripsTest, OnePingIsOwedAtATime) {
  round_trips_.ask(at(seconds(1)));
  round_trips_.ask(at(seconds(2)));
  EXPECT_EQ(round_trips_.asked_at(), at(seconds(1)));
  EXPECT_TRUE(round_trips_.ping_due());
  const std::uint64_t token = round_trips_.ping_sent(at(seconds(3)));
  EXPECT_FALSE(round_trips_.ping_due());
  round_trips_.ask(at(seconds(4)));
  EXPECT_FALSE(round_trips_.ping_due());
  EXPECT_EQ(round_trips_.asked_at(), at(seconds(1)));
  round_trips_.pong_received(token, at(seconds(5)));
  EXPECT_FALSE(round_trips_.asked_at());
  EXPECT_EQ(round_trips_.smoothed(), seconds(2)) << "since it was sent";
}

TEST_F(RoundTripsTest, APongThatAnswersAnotherPingOrNoneIsIgnored) {
  round_trips_.pong_received(0, at(seconds(1)));
  round_trips_.ask(at(seconds(1)));
  round_trips_.pong_received(1, at(seconds(1)));
  EXPECT_FALSE(round_trips_.smoothed()) << "not sent yet";
  const std::uint64_t first = round_trips_.ping_sent(at(seconds(1)));
  round_trips_.link_lost();
  round_trips_.ask(at(seconds(2)));
  EXPECT_NE(round_trips_.ping_sent(at(seconds(2))), first);
  round_trips_.pong_received(first, at(seconds(3)));
  EXPECT_FALSE(round_trips_.smoothed());
  EXPECT_EQ(round_trips_.asked_at(), at(seconds(2)));
}

TEST_F(RoundTripsTest, AQuickHandshakeIsAMeasurementAndASlowOneIsNot) {
  round_trips_.attached(milliseconds(100), at(seconds(1)));
  EXPECT_FALSE(round_trips_.smoothed());
  EXPECT_TRUE(round_trips_.ping_due());
  round_trips_.link_lost();
  EXPECT_FALSE(round_trips_.ping_due());
  round_trips_.attached(milliseconds(99), at(seconds(2)));
  EXPECT_EQ(round_trips_.smoothed(), milliseconds(99));
  EXPECT_FALSE(round_trips_.ping_due());
}

TEST_F(MeasuredRoundTrips, TheRoundTripIsSmoothed) {
  measure(seconds(1), milliseconds(900));
  EXPECT_EQ(round_trips_.smoothed(), milliseconds(200)) << "100 ms + (900 ms - 100 ms) / 8";
}

TEST_F(MeasuredRoundTrips, TheLeastRoundTripIsOfTheLatestThree) {
  const auto least_after = [&](Duration start, Duration round_trip) {
    measure(start, round_trip);
    return *round_trips_.least_of_latest();
  };
  EXPECT_EQ(least_after(seconds(1), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(2), milliseconds(200)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(3), milliseconds(400)), milliseconds(200))
      << "the 100 ms are too old";
  EXPECT_EQ(least_after(seconds(4), milliseconds(400)), milliseconds(200));
  EXPECT_EQ(least_after(seconds(5), milliseconds(400)), milliseconds(400));
}

TEST_F(MeasuredRoundTrips, TheLeastOfAPathIsRememberedForFiveToTenMinutes) {
  const auto least_after = [&](Duration start, Duration round_trip) {
    measure(start, round_trip);
    return round_trips_.path()->least;
  };
  EXPECT_EQ(least_after(seconds(1), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(299), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(301), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(302), milliseconds(200)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(600), milliseconds(300)), milliseconds(100));
  EXPECT_EQ(least_after(seconds(602), milliseconds(300)), milliseconds(200));
  EXPECT_EQ(least_after(seconds(603), milliseconds(50)), milliseconds(50)) << "at once";
}

TEST_F(MeasuredRoundTrips, FlowingDataIsMeasuredOnceASecond) {
  round_trips_.data_flows(at(milliseconds(1099)));
  EXPECT_FALSE(round_trips_.ping_due());
  round_trips_.data_flows(at(milliseconds(1100)));
  EXPECT_TRUE(round_trips_.ping_due());
}

TEST_F(MeasuredRoundTrips, AnUnusualMeasurementIsRepeatedOnceDataFlows) {
  measure(seconds(1), milliseconds(200));
  round_trips_.data_flows(at(milliseconds(1201)));
  EXPECT_FALSE(round_trips_.ping_due()) << "twice what is usual is not more than that";
  measure(seconds(2), milliseconds(201));
  round_trips_.data_flows(at(milliseconds(2202)));
  EXPECT_TRUE(round_trips_.ping_due());
}

TEST_F(MeasuredRoundTrips, WhatWasMeasuredStaysUntilTheNextLinkHasBeenMeasured) {
  measure(seconds(1), milliseconds(900));
  round_trips_.link_lost();
  EXPECT_EQ(round_trips_.smoothed(), milliseconds(200));
  EXPECT_EQ(round_trips_.path()->least, milliseconds(100));
  measure(seconds(2), milliseconds(500));
  EXPECT_EQ(round_trips_.smoothed(), milliseconds(500));
  EXPECT_EQ(round_trips_.least_of_latest(), milliseconds(500));
  EXPECT_EQ(round_trips_.path()->usual, milliseconds(500));
  EXPECT_EQ(round_trips_.path()->least, milliseconds(500));
}

}  // namespace
}  // namespace backedpipe::test
