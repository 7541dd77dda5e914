#include "session/tcp_counts.hpp"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

using State = TcpCounts::State;

// A dialled connection that began with its SYN counted.
constexpr TcpBaseline kBaseline{.received = 0, .given = 1};

// 100 bytes were read and 60 written, and the process had recorded all of that.
constexpr TcpRecorded kRecorded{.taken = 100, .given = 60};
TcpCounts counts_in(State state) {
  return {.state = state, .received = 100, .unread = 0, .acked = 61, .unacked = 0};
}

TEST(TcpCountsTest, BytesThatWereNotReadWereNotTaken) {
  TcpCounts counts = counts_in(State::open);
  counts.received += 40;
  counts.unread = 40;
  const auto moved = moved_since(kBaseline, counts, kRecorded);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 100U);
  EXPECT_EQ(moved->given, 60U);
  EXPECT_FALSE(moved->end_received);
  EXPECT_FALSE(moved->end_given);
}

TEST(TcpCountsTest, BytesThatAreNotAcknowledgedWereGivenAllTheSame) {
  TcpCounts counts = counts_in(State::open);
  counts.acked -= 25;
  counts.unacked = 25;
  EXPECT_EQ(moved_since(kBaseline, counts, kRecorded)->given, 60U);
}

TEST(TcpCountsTest, TheLatestReadAndWriteCountEvenIfTheyWereNotRecorded) {
  TcpCounts counts = counts_in(State::open);
  counts.received += 7;
  counts.unacked += 9;
  const auto moved = moved_since(kBaseline, counts, kRecorded);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 107U);
  EXPECT_EQ(moved->given, 69U);
}

TEST(TcpCountsTest, ABaselineCountsWhatWasThereBefore) {
  TcpCounts before = counts_in(State::open);
  before.received += 30;
  before.unread = 30;
  before.unacked = 5;
  TcpCounts after = before;
  after.unread = 10;
  after.unacked = 8;
  const auto moved = moved_since(baseline_of(before), after, {});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 20U);
  EXPECT_EQ(moved->given, 3U);
}

TEST(TcpCountsTest, ABaselineWithEndsDoesNotCountThem) {
  TcpCounts counts = counts_in(State::both_ended);
  counts.received = 11;
  counts.unread = 10;
  counts.acked = 1;
  counts.unacked = 1;
  const TcpBaseline baseline = baseline_of(counts);
  EXPECT_EQ(baseline.received, 0U);
  EXPECT_EQ(baseline.given, 1U);
  counts.unread = 0;
  const auto moved = moved_since(baseline, counts, {});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 10U);
  EXPECT_EQ(moved->given, 0U);
}

TEST(TcpCountsTest, AnEndIsNoByte) {
  for (const State state : {State::end_received, State::end_sent, State::both_ended}) {
    TcpCounts counts = counts_in(state);
    const bool received = state != State::end_sent, given = state != State::end_received;
    counts.received += received ? 1 : 0;
    counts.unacked += given ? 1 : 0;
    const auto moved = moved_since(kBaseline, counts, kRecorded);
    ASSERT_TRUE(moved);
    EXPECT_EQ(moved->taken, 100U);
    EXPECT_EQ(moved->given, 60U);
    EXPECT_EQ(moved->end_received, received);
    EXPECT_EQ(moved->end_given, given);
  }
}

TEST(TcpCountsTest, ClosedAfterBothEndsIsAnEnd) {
  TcpCounts counts = counts_in(State::closed);
  counts.received += 1 + 20;
  counts.unread = 20;
  counts.acked += 1;
  const auto moved = moved_since(kBaseline, counts, kRecorded);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 100U);
  EXPECT_EQ(moved->given, 60U);
  EXPECT_TRUE(moved->end_received);
  EXPECT_TRUE(moved->end_given);
}

TEST(TcpCountsTest, ClosedAfterBothEndsWithAReadThatWasNotRecorded) {
  TcpCounts counts = counts_in(State::closed);
  counts.received += 1 + 20;
  counts.acked += 1;
  EXPECT_EQ(moved_since(kBaseline, counts, kRecorded)->taken, 120U);
}

TEST(TcpCountsTest, APendingErrorIsAReset) {
  for (const State state : {State::open, State::end_received, State::closed}) {
    TcpCounts counts = counts_in(state);
    counts.received += 1;
    counts.acked += 1;
    counts.error_pending = true;
    EXPECT_FALSE(moved_since(kBaseline, counts, kRecorded));
  }
}

// The process that is gone was told of the error, and so the kernel has forgotten it.
TEST(TcpCountsTest, ClosedWithoutBothEndsIsAResetThatWasReported) {
  const TcpCounts neither = counts_in(State::closed);
  EXPECT_FALSE(moved_since(kBaseline, neither, kRecorded));
  TcpCounts only_received = neither;
  only_received.received += 1;
  EXPECT_FALSE(moved_since(kBaseline, only_received, kRecorded));
  TcpCounts only_given = neither;
  only_given.acked += 1;
  EXPECT_FALSE(moved_since(kBaseline, only_given, kRecorded));
}

TEST(TcpCountsTest, ClosedWithBytesThatWereNeverAcknowledgedIsAReset) {
  TcpCounts counts = counts_in(State::closed);
  counts.received += 1;
  counts.acked -= 4;
  counts.unacked = 5;  // the last one is our FIN
  EXPECT_FALSE(moved_since(kBaseline, counts, kRecorded));
}

TEST(TcpCountsTest, ContradictionsAreNotBelieved) {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  for (const State state :
       {State::open, State::end_received, State::end_sent, State::both_ended, State::closed}) {
    const TcpCounts counts = counts_in(state);
    for (const std::uint64_t wrong : {std::uint64_t{101}, kMost - 1, kMost}) {
      EXPECT_FALSE(moved_since({.received = wrong, .given = 1}, counts, {}));
      EXPECT_FALSE(moved_since({.received = 0, .given = wrong}, counts, {}));
      EXPECT_FALSE(moved_since(kBaseline, counts, {.taken = wrong, .given = 0}));
      EXPECT_FALSE(moved_since(kBaseline, counts, {.taken = 0, .given = wrong}));
      TcpCounts unread = counts;
      unread.unread = wrong;
      EXPECT_FALSE(moved_since(kBaseline, unread, {}));
    }
  }
}

TEST(TcpCountsTest, AnEndThatWasNotCountedIsNotBelieved) {
  EXPECT_FALSE(moved_since({.received = 100, .given = 1}, counts_in(State::end_received), {}));
  EXPECT_FALSE(moved_since({.received = 0, .given = 61}, counts_in(State::end_sent), {}));
  EXPECT_FALSE(moved_since(kBaseline, counts_in(State::end_received), kRecorded));
  EXPECT_FALSE(moved_since(kBaseline, counts_in(State::end_sent), kRecorded));
}

}  // namespace
}  // namespace backedpipe::test
