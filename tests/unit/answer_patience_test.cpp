#include "session/dial/answer_patience.hpp"

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(AnswerPatience, FollowsTheTimeThatTheConnectionTook) {
  const AnswerPatience patience;
  EXPECT_EQ(patience.after(milliseconds(1)), seconds(1)) << "the least";
  EXPECT_EQ(patience.after(milliseconds(600)), milliseconds(2400));
  EXPECT_EQ(patience.after(seconds(5)), seconds(10)) << "the most";
}

TEST(AnswerPatience, GrowsWithEachAttemptThatRanOut) {
  AnswerPatience patience;
  for (const Duration expected : {seconds(1), seconds(3), seconds(9), seconds(10), seconds(10)}) {
    EXPECT_EQ(patience.after({}), expected);
    patience.ran_out(expected);
  }
}

TEST(AnswerPatience, AttemptsAtTheSameTimeCountOnce) {
  AnswerPatience patience;
  for (int i = 0; i < 64; ++i)
    patience.ran_out(seconds(1));
  EXPECT_EQ(patience.after({}), seconds(3));
}

TEST(AnswerPatience, KnowsALateAnswerTheNextTime) {
  AnswerPatience patience;
  patience.ran_out(seconds(1));
  patience.answered(seconds(2));
  EXPECT_EQ(patience.after({}), seconds(4)) << "what came after two seconds may take a bit longer";
  patience.answered(milliseconds(20));
  EXPECT_EQ(patience.after({}), seconds(1)) << "answers are quick again";
}

}  // namespace
}  // namespace backedpipe::test
