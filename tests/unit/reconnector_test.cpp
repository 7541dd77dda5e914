#include "session/dial/reconnector.hpp"

#include <set>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr TimePoint kStart = at(seconds(0));

// How long the reconnector waits after this failure.
Duration delay_after_failure(Reconnector& reconnector, TimePoint now) {
  reconnector.started();
  reconnector.failed(now);
  return *reconnector.next_attempt() - now;
}

TEST(Reconnector, WantsNothingAtFirst) {
  EXPECT_FALSE(Reconnector(1).next_attempt());
}

TEST(Reconnector, TriesAtOnceFirst) {
  Reconnector reconnector(1);
  reconnector.want(kStart);
  EXPECT_EQ(reconnector.next_attempt(), kStart);
}

TEST(Reconnector, AnAttemptUnderWaySchedulesNothing) {
  Reconnector reconnector(1);
  reconnector.want(kStart);
  reconnector.started();
  EXPECT_FALSE(reconnector.next_attempt());
}

TEST(Reconnector, DoublesTheDelayUpToTheMost) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Reconnector reconnector(seed);
    reconnector.want(kStart);
    Duration full = milliseconds(50);
    for (std::uint32_t failure = 1; failure <= 40; ++failure) {
      const Duration delay = delay_after_failure(reconnector, kStart);
      EXPECT_EQ(reconnector.failures(), failure);
      EXPECT_GE(delay, full / 2) << "seed " << seed << ", failure " << failure;
      EXPECT_LE(delay, full) << "seed " << seed << ", failure " << failure;
      full = std::min<Duration>(2 * full, milliseconds(500));
    }
  }
}

TEST(Reconnector, JitterKeepsSessionsApart) {
  std::set<Duration> delays;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Reconnector reconnector(seed);
    reconnector.want(kStart);
    delays.insert(delay_after_failure(reconnector, kStart));
  }
  EXPECT_EQ(delays.size(), 100U);
}

TEST(Reconnector, TriesLessOftenTheLongerThePeerIsAway) {
  struct Stage {
    Duration from;
    Duration to;
    Duration most;
  };
  for (const Stage& stage :
       {Stage{seconds(5), minutes(1), milliseconds(500)}, Stage{minutes(1), minutes(5), seconds(2)},
        Stage{minutes(5), hours(24), seconds(10)}}) {
    Reconnector reconnector(7);
    reconnector.want(kStart);
    for (int i = 0; i < 20; ++i)
      delay_after_failure(reconnector, kStart);
    for (const Duration away : {stage.from, stage.to - milliseconds(1)}) {
      for (int i = 0; i < 20; ++i) {
        const Duration delay = delay_after_failure(reconnector, kStart + away);
        EXPECT_GE(delay, stage.most / 2);
        EXPECT_LE(delay, stage.most);
      }
    }
  }
}

TEST(Reconnector, TriesAtOnceAfterAUsefulLink) {
  Reconnector reconnector(1);
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
  Reconnector reconnector(1);
  reconnector.want(kStart);
  // Links come up and are lost at once, without a byte.
  Duration full = milliseconds(50);
  for (int i = 0; i < 10; ++i) {
    reconnector.started();
    reconnector.stop();
    reconnector.want(kStart);
    EXPECT_GE(*reconnector.next_attempt() - kStart, full / 2);
    full = std::min<Duration>(2 * full, milliseconds(500));
  }
}

TEST(Reconnector, TriesAtOnceWhenToldTo) {
  Reconnector reconnector(1);
  reconnector.want(kStart);
  for (int i = 0; i < 10; ++i)
    delay_after_failure(reconnector, kStart);
  reconnector.want_now(at(seconds(1)));
  EXPECT_EQ(reconnector.next_attempt(), at(seconds(1)));
}

TEST(Reconnector, AnOutageThatBeginsWithASuspicionBeginsAnew) {
  Reconnector reconnector(1);
  reconnector.want(kStart);
  for (int i = 0; i < 20; ++i)
    delay_after_failure(reconnector, kStart + minutes(6));
  reconnector.stop();
  reconnector.useful();
  reconnector.want_now(kStart + hours(1));
  EXPECT_LE(delay_after_failure(reconnector, kStart + hours(1)), milliseconds(50));
}

TEST(Reconnector, StopsWhenNoLinkIsWanted) {
  Reconnector reconnector(1);
  reconnector.want(kStart);
  reconnector.stop();
  EXPECT_FALSE(reconnector.next_attempt());
}

}  // namespace
}  // namespace backedpipe::test
