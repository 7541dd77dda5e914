#include "session/reconnector.hpp"

#include <set>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

Duration wait_after_failure(Reconnector& reconnector, Duration now) {
  reconnector.started();
  reconnector.failed(at(now));
  return *reconnector.next_attempt() - at(now);
}

TEST(Reconnector, TriesAtOnceAfterAUsefulLink) {
  Reconnector reconnector({}, 1);
  reconnector.want(at(seconds(1)));
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(1)));
  reconnector.started();
  EXPECT_FALSE(reconnector.next_attempt());
  reconnector.useful();
  reconnector.want(at(seconds(2)));
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(2)));
}

TEST(Reconnector, WaitsAfterALinkThatCarriedNothing) {
  Reconnector reconnector({}, 1);
  reconnector.want(at(seconds(1)));
  reconnector.started();
  reconnector.want(at(seconds(2)));
  EXPECT_GE(*reconnector.next_attempt(), at(seconds(2) + milliseconds(25)));
}

TEST(Reconnector, DoublesItsDelayUpToTwoSecondsWithJitterBelow) {
  Reconnector reconnector({}, 7);
  reconnector.want(at(seconds(0)));
  Duration full = milliseconds(50);
  for (int failure = 0; failure < 12; ++failure) {
    const Duration delay = wait_after_failure(reconnector, seconds(failure));
    EXPECT_GE(delay, full / 2);
    EXPECT_LE(delay, full);
    full = std::min<Duration>(2 * full, seconds(2));
  }
}

TEST(Reconnector, AsksLessOftenAfterFiveMinutes) {
  Reconnector reconnector({}, 7);
  reconnector.want(at(seconds(0)));
  for (int failure = 0; failure < 20; ++failure)
    wait_after_failure(reconnector, seconds(10));
  const Duration delay = wait_after_failure(reconnector, std::chrono::minutes(5));
  EXPECT_GE(delay, seconds(5));
  EXPECT_LE(delay, seconds(10));
}

TEST(Reconnector, KeepsManySessionsApart) {
  std::set<Duration> delays;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Reconnector reconnector({}, seed);
    reconnector.want(at(seconds(0)));
    delays.insert(wait_after_failure(reconnector, seconds(0)));
  }
  EXPECT_GT(delays.size(), 90U);
}

TEST(Reconnector, DoesNotWaitWhenItIsForced) {
  Reconnector reconnector({}, 1);
  reconnector.want(at(seconds(0)));
  for (int failure = 0; failure < 10; ++failure)
    wait_after_failure(reconnector, seconds(1));
  reconnector.want_now(at(seconds(1)));
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(1)));
}

// The origin tried once and then stayed disconnected.
TEST(Reconnector, KnownFault10ItNeverStopsTrying) {
  Reconnector reconnector({}, 3);
  reconnector.want(at(seconds(0)));
  for (int failure = 0; failure < 10'000; ++failure) {
    ASSERT_LE(wait_after_failure(reconnector, seconds(failure)), seconds(10));
  }
}

}  // namespace
}  // namespace backedpipe::test
