#include "session/pump/application_watch.hpp"

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

using std::chrono::seconds;

constexpr TimePoint kStart{};
constexpr Duration kPatience = seconds(60);

constexpr Unanswered owes(unsigned attempts, Duration silence) {
  return {.attempts = attempts, .silence = silence};
}

TEST(ApplicationWatch, LooksOnlyAfterBytesWereSent) {
  ApplicationWatch watch(kPatience);
  EXPECT_FALSE(watch.due());
  watch.sent(kStart);
  EXPECT_EQ(watch.due(), kStart + seconds(60));
  // Later bytes do not postpone it: a busy connection is looked at as well.
  watch.sent(kStart + seconds(30));
  EXPECT_EQ(watch.due(), kStart + seconds(60));
  EXPECT_FALSE(watch.look(owes(9, seconds(99)), kStart + seconds(59)));
  EXPECT_EQ(watch.due(), kStart + seconds(60));
}

TEST(ApplicationWatch, StopsOnceNothingIsOwed) {
  ApplicationWatch watch(kPatience);
  watch.sent(kStart);
  EXPECT_FALSE(watch.look(std::nullopt, kStart + seconds(60)));
  EXPECT_FALSE(watch.due());
  watch.sent(kStart + seconds(70));
  EXPECT_EQ(watch.due(), kStart + seconds(130));
}

TEST(ApplicationWatch, ASystemThatAnswersNothingForSoLongIsGone) {
  ApplicationWatch watch(kPatience);
  watch.sent(kStart);
  EXPECT_TRUE(watch.look(owes(3, seconds(60)), kStart + seconds(60)));
}

TEST(ApplicationWatch, LooksAgainWhenThePatienceWillBeOver) {
  ApplicationWatch watch(kPatience);
  watch.sent(kStart);
  EXPECT_FALSE(watch.look(owes(5, seconds(20)), kStart + seconds(60)));
  EXPECT_EQ(watch.due(), kStart + seconds(100));
  EXPECT_TRUE(watch.look(owes(8, seconds(60)), kStart + seconds(100)));
}

TEST(ApplicationWatch, AnApplicationThatReadsNothingIsNotGone) {
  ApplicationWatch watch(kPatience);
  watch.sent(kStart);
  // Its system was last asked two minutes ago, and the next question may just be on its way.
  EXPECT_FALSE(watch.look(owes(1, seconds(120)), kStart + seconds(500)));
  EXPECT_EQ(watch.due(), kStart + seconds(510));
}

TEST(ApplicationWatch, WithoutPatienceItNeverLooks) {
  ApplicationWatch watch(std::nullopt);
  watch.sent(kStart);
  EXPECT_FALSE(watch.due());
}

}  // namespace
}  // namespace backedpipe::test
