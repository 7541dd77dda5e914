#include "pipe/receive_window.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr RoundTrip kRoundTrip{milliseconds(100), milliseconds(100)};

TEST(ReceiveWindow, StartsAtItsInitialSize) {
  EXPECT_EQ(ReceiveWindow(64, 256).stated_limit(), 64U);
}

TEST(ReceiveWindow, NeverStartsAboveItsMaximum) {
  EXPECT_EQ(ReceiveWindow(512, 256).stated_limit(), 256U);
}

TEST(ReceiveWindow, IsWorthTellingOnceAQuarterHasBeenDelivered) {
  ReceiveWindow window(64, 256);
  window.on_delivered(15, at(seconds(1)), std::nullopt, false);
  EXPECT_FALSE(window.update_due());
  window.on_delivered(16, at(seconds(1)), std::nullopt, false);
  EXPECT_TRUE(window.update_due());
  EXPECT_EQ(window.stated_limit(), 64U);
  EXPECT_EQ(window.state_limit(), 80U);
  EXPECT_EQ(window.stated_limit(), 80U);
  EXPECT_FALSE(window.update_due());
}

TEST(ReceiveWindow, HasNothingToTellBeforeAnythingWasDelivered) {
  EXPECT_FALSE(ReceiveWindow(64, 256).update_due());
  EXPECT_FALSE(ReceiveWindow(3, 3).update_due()) << "a window without a whole quarter";
  EXPECT_FALSE(ReceiveWindow(0, 0).update_due());
}

TEST(ReceiveWindow, DoublesWhenMoreThanHalfIsTakenWithinTwoRoundTrips) {
  ReceiveWindow window(64, 1024);
  window.on_delivered(1, at(seconds(1)), kRoundTrip, false);
  window.on_delivered(33, at(seconds(1) + milliseconds(199)), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 64U) << "half is not more than half";
  window.on_delivered(34, at(seconds(1) + milliseconds(199)), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 128U);
  EXPECT_EQ(window.state_limit(), 34U + 128U);
}

TEST(ReceiveWindow, DoesNotGrowForAnApplicationThatTakesItsTime) {
  ReceiveWindow window(64, 1024);
  for (std::uint64_t i = 0; i < 20; ++i)
    window.on_delivered(1 + 40 * i, at(milliseconds(200) * i), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 64U);
}

TEST(ReceiveWindow, HalvesWhenHalfOfItLastsForManyRoundTrips) {
  ReceiveWindow window(64, 1024);
  window.on_delivered(1, at(seconds(1)), kRoundTrip, false);
  window.on_delivered(34, at(seconds(1)), kRoundTrip, false);
  window.on_delivered(100, at(seconds(1)), kRoundTrip, false);
  ASSERT_EQ(window.size_bytes(), 256U);
  window.on_delivered(229, at(seconds(1) + milliseconds(3200)), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 256U);
  const std::uint64_t granted = window.state_limit();
  window.on_delivered(358, at(seconds(1) + milliseconds(6401)), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 128U);
  EXPECT_GE(window.state_limit(), granted);
  window.on_delivered(423, at(seconds(100)), kRoundTrip, false);
  window.on_delivered(456, at(seconds(200)), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 64U) << "never below its first size";
}

// --- a large one

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kLarge = ReceiveWindow::kLargeBytes;

// How large it is after 64 MiB more, each of which takes so long.
std::size_t size_after(Duration each_mib, RoundTrip round_trip, std::size_t initial = kLarge) {
  ReceiveWindow window(initial, 8 * kLarge);
  for (std::uint64_t i = 0; i < 64; ++i)
    window.on_delivered(i * kMiB, at(each_mib * i), round_trip, false);
  return window.size_bytes();
}

TEST(ReceiveWindow, DoesNotGrowOnAShortWayForQueuesThatItHasFilled) {
  const RoundTrip way{.usual = milliseconds(10), .least = milliseconds(1)};
  EXPECT_EQ(size_after(milliseconds(1), way), kLarge);
  EXPECT_EQ(size_after(milliseconds(1), way, kLarge / 8), kLarge) << "up to there it does";
}

TEST(ReceiveWindow, GrowsOnAShortWayToTwiceWhatIsOnIt) {
  const RoundTrip way{.usual = milliseconds(10), .least = milliseconds(4)};
  EXPECT_EQ(size_after(milliseconds(1), way), 4 * kLarge);
  EXPECT_EQ(size_after(milliseconds(2), way), 2 * kLarge);
}

TEST(ReceiveWindow, GrowsOnALongWayAsFarAsRoundTripsGo) {
  const RoundTrip way{.usual = milliseconds(10), .least = milliseconds(5)};
  EXPECT_EQ(size_after(milliseconds(1), way), 8 * kLarge);
}

TEST(ReceiveWindow, OnAShortWayOneBurstDoesNotMakeItGrow) {
  const RoundTrip way{.usual = milliseconds(10), .least = milliseconds(1)};
  ReceiveWindow window(kLarge, 8 * kLarge);
  for (std::uint64_t i = 0; i < 64; ++i) {
    // Nothing for 6 ms, then three at once.
    window.on_delivered(i * kMiB, at(milliseconds(2) * (i - i % 3)), way, false);
  }
  EXPECT_EQ(window.size_bytes(), kLarge);
}

TEST(ReceiveWindow, DoesNotGrowBeforeTheRoundTripIsKnown) {
  ReceiveWindow window(64, 1024);
  for (std::uint64_t i = 0; i < 20; ++i)
    window.on_delivered(1 + 40 * i, at(milliseconds(1) * i), std::nullopt, false);
  EXPECT_EQ(window.size_bytes(), 64U);
}

TEST(ReceiveWindow, DoesNotGrowWhileMemoryIsScarce) {
  ReceiveWindow window(64, 1024);
  for (std::uint64_t i = 0; i < 20; ++i)
    window.on_delivered(1 + 40 * i, at(milliseconds(1) * i), kRoundTrip, true);
  EXPECT_EQ(window.size_bytes(), 64U);
  EXPECT_EQ(window.state_limit(), 1 + 40 * 19 + 64U) << "the limit goes on with what is delivered";
}

TEST(ReceiveWindow, GoesBackToItsFirstSizeWhenMemoryIsScarceAndTakesNothingBack) {
  ReceiveWindow window(64, 1024);
  window.on_delivered(1, at(seconds(1)), kRoundTrip, false);
  window.on_delivered(34, at(seconds(1)), kRoundTrip, false);
  window.on_delivered(100, at(seconds(1)), kRoundTrip, false);
  ASSERT_EQ(window.size_bytes(), 256U);
  ASSERT_EQ(window.state_limit(), 356U);
  window.on_delivered(101, at(seconds(1)), kRoundTrip, true);
  EXPECT_EQ(window.size_bytes(), 64U);
  EXPECT_EQ(window.state_limit(), 356U) << "it was granted";
  window.on_delivered(292, at(seconds(1)), kRoundTrip, true);
  EXPECT_EQ(window.state_limit(), 356U);
  window.on_delivered(300, at(seconds(1)), kRoundTrip, true);
  EXPECT_EQ(window.state_limit(), 364U);
}

TEST(ReceiveWindow, AWindowBelowItsFirstSizeIsNotRaisedByScarcity) {
  ReceiveWindow window(512, 256);
  window.on_delivered(1, at(seconds(1)), kRoundTrip, true);
  EXPECT_EQ(window.size_bytes(), 256U);
}

TEST(ReceiveWindow, StopsGrowingAtItsMaximum) {
  ReceiveWindow window(64, 200);
  for (std::uint64_t i = 0; i < 20; ++i)
    window.on_delivered(1 + 150 * i, at(milliseconds(1) * i), kRoundTrip, false);
  EXPECT_EQ(window.size_bytes(), 200U);
}

TEST(ReceiveWindow, ItsLimitNeverGoesBack) {
  ReceiveWindow window(64, 256);
  window.on_delivered(50, at(seconds(1)), std::nullopt, false);
  window.on_delivered(50, at(seconds(2)), std::nullopt, false);
  EXPECT_EQ(window.state_limit(), 114U);
  EXPECT_EQ(window.state_limit(), 114U);
}

TEST(ReceiveWindow, ContinuesWithTheSizeAndLimitOfAnother) {
  ReceiveWindow window(64, 256);
  window.restore(200, 150, 100);
  EXPECT_EQ(window.size_bytes(), 200U);
  EXPECT_EQ(window.stated_limit(), 150U);
  EXPECT_EQ(window.limit(), 150U);
  window.on_delivered(101, at(seconds(1)), std::nullopt, false);
  EXPECT_EQ(window.limit(), 301U);
}

// Otherwise nothing would ever open it: no byte can come that would be delivered.
TEST(ReceiveWindow, OfUnknownSizeItContinuesAsANewOne) {
  ReceiveWindow window(64, 256);
  window.restore(0, 100, 100);
  EXPECT_EQ(window.size_bytes(), 64U);
  EXPECT_EQ(window.stated_limit(), 100U);
  EXPECT_EQ(window.limit(), 164U);
  window.restore(0, 300, 100);
  EXPECT_EQ(window.limit(), 300U) << "what was granted is not taken back";
}

}  // namespace
}  // namespace backedpipe::test
