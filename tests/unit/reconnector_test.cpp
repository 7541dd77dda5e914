#include "session/dial/reconnector.hpp"

#include <set>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::minutes;

constexpr TimePoint kStart = at(seconds(0));

// How long the reconnector waits after this failure.
Duration delay_after_failure(Reconnector& reconnector, TimePoint now) {
  reconnector.started();
  reconnector.failed(now);
  return *reconnector.next_attempt() - now;
}

TEST(Reconnector, WantsNothingAtFirst) {
  EXPECT_FALSE(Reconnector(BackoffOptions{}, 1).next_attempt());
}

TEST(Reconnector, TriesAtOnceFirst) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  EXPECT_EQ(reconnector.next_attempt(), kStart);
}

TEST(Reconnector, AnAttemptUnderWaySchedulesNothing) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  reconnector.started();
  EXPECT_FALSE(reconnector.next_attempt());
}

TEST(Reconnector, DoublesTheDelayUpToTheMost) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Reconnector reconnector(BackoffOptions{}, seed);
    reconnector.want(kStart);
    Duration full = milliseconds(50);
    for (std::uint32_t failure = 1; failure <= 40; ++failure) {
      const Duration delay = delay_after_failure(reconnector, kStart);
      EXPECT_EQ(reconnector.failures(), failure);
      EXPECT_GE(delay, full / 2) << "seed " << seed << ", failure " << failure;
      EXPECT_LE(delay, full) << "seed " << seed << ", failure " << failure;
      full = std::min<Duration>(2 * full, seconds(2));
    }
  }
}

TEST(Reconnector, JitterKeepsSessionsApart) {
  std::set<Duration> delays;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Reconnector reconnector(BackoffOptions{}, seed);
    reconnector.want(kStart);
    delays.insert(delay_after_failure(reconnector, kStart));
  }
  EXPECT_EQ(delays.size(), 100U);
}

TEST(Reconnector, AsksLessOftenOnceSomebodyIsAwayForLong) {
  Reconnector reconnector(BackoffOptions{}, 7);
  reconnector.want(kStart);
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(delay_after_failure(reconnector, kStart + minutes(5) - milliseconds(1)), seconds(2));
  }
  for (int i = 0; i < 20; ++i) {
    const Duration delay = delay_after_failure(reconnector, kStart + minutes(5));
    EXPECT_GE(delay, seconds(5));
    EXPECT_LE(delay, seconds(10));
  }
}

TEST(Reconnector, TriesAtOnceAfterAUsefulLink) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  for (int i = 0; i < 10; ++i)
    delay_after_failure(reconnector, kStart);
  reconnector.stop();
  reconnector.useful();
  reconnector.want(at(seconds(60)));
  EXPECT_EQ(reconnector.failures(), 0U);
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(60)));
  EXPECT_LE(delay_after_failure(reconnector, at(seconds(60))), milliseconds(50));
}

TEST(Reconnector, BacksOffAfterALinkThatCarriedNothing) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  // Links come up and are lost at once, without a byte.
  Duration full = milliseconds(50);
  for (int i = 0; i < 10; ++i) {
    reconnector.started();
    reconnector.stop();
    reconnector.want(kStart);
    EXPECT_GE(*reconnector.next_attempt() - kStart, full / 2);
    full = std::min<Duration>(2 * full, seconds(2));
  }
}

TEST(Reconnector, TriesAtOnceWhenToldTo) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  for (int i = 0; i < 10; ++i)
    delay_after_failure(reconnector, kStart);
  reconnector.want_now(at(seconds(1)));
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(1)));
}

TEST(Reconnector, StopsWhenNoLinkIsWanted) {
  Reconnector reconnector(BackoffOptions{}, 1);
  reconnector.want(kStart);
  reconnector.stop();
  EXPECT_FALSE(reconnector.next_attempt());
}

TEST(Reconnector, BearsADelayTooSmallToBeHalved) {
  BackoffOptions options;
  options.first = Duration(1);
  options.most = Duration(1);
  Reconnector reconnector(options, 1);
  reconnector.want(kStart);
  EXPECT_EQ(delay_after_failure(reconnector, kStart), Duration(1));
}

}  // namespace
}  // namespace backedpipe::test
