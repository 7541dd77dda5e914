// FrameBudget, and which frames of a link it counts.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kNow = at(seconds(100));
constexpr int kBudget = FrameBudget::kFramesPerSecond;

TEST(FrameBudget, LastsForASecondsWorthOfFrames) {
  FrameBudget budget;
  for (int i = 0; i < kBudget; ++i)
    budget.spend(kNow);
  EXPECT_FALSE(budget.pause(kNow));
  budget.spend(kNow);
  constexpr Duration kOneFrame = FrameBudget::kBurst / kBudget;
  EXPECT_EQ(budget.pause(kNow), kNow + kOneFrame);
  EXPECT_FALSE(budget.pause(kNow + kOneFrame));
}

TEST(FrameBudget, FillsAgainAndNoFurtherThanItsSize) {
  FrameBudget budget;
  for (const TimePoint now : {kNow, kNow + seconds(2), kNow + seconds(60)}) {
    for (int i = 0; i < kBudget; ++i)
      budget.spend(now);
    EXPECT_FALSE(budget.pause(now));
    budget.spend(now);
    EXPECT_TRUE(budget.pause(now));
  }
}

TEST(FrameBudget, ADebtIsPaidWithinASecond) {
  FrameBudget budget;
  for (int i = 0; i < 100 * kBudget; ++i)
    budget.spend(kNow);
  EXPECT_EQ(budget.pause(kNow), kNow + FrameBudget::kMostDebt);
}

TEST(FrameBudget, IsLowOnceHalfIsSpent) {
  FrameBudget budget;
  for (int i = 0; i < kBudget / 2; ++i)
    budget.spend(kNow);
  EXPECT_FALSE(budget.low(kNow));
  budget.spend(kNow);
  EXPECT_TRUE(budget.low(kNow));
}

class FramesOfALink : public OnePipe {
 protected:
  void SetUp() override { attach(); }

  // Does the link have to pause after this frame came often?
  bool pauses_after(const std::string& frame) {
    for (int i = 0; i < 2 * kBudget; ++i)
      receive(pipe_, frame, kNow).value();
    return pipe_.receive_pause(kNow).has_value();
  }
};

TEST_F(FramesOfALink, AFloodOfPingsIsHeldUp) {
  EXPECT_TRUE(pauses_after(frame_text(FrameType::ping, 0, 1)));
}

TEST_F(FramesOfALink, AFloodOfPongsThatNobodyAskedForIsHeldUp) {
  EXPECT_TRUE(pauses_after(frame_text(FrameType::pong, 0, 99)));
}

TEST_F(FramesOfALink, AFloodOfAcknowledgementsThatSayNothingNewIsHeldUp) {
  EXPECT_TRUE(pauses_after(frame_text(FrameType::ack, 0)));
}

TEST_F(FramesOfALink, AFloodOfWindowsThatCreepOnIsHeldUp) {
  for (int i = 0; i < 2 * kBudget; ++i) {
    receive(pipe_, frame_text(FrameType::window, 0, (1U << 20) + static_cast<unsigned>(i)), kNow)
        .value();
  }
  EXPECT_TRUE(pipe_.receive_pause(kNow));
}

TEST_F(FramesOfALink, AFloodOfRepeatedDataIsHeldUp) {
  receive(pipe_, data_frame(0, "abc"), kNow).value();
  EXPECT_TRUE(pauses_after(data_frame(1, "bc")));
}

TEST_F(FramesOfALink, AFloodOfRepeatedEndsIsHeldUp) {
  EXPECT_TRUE(pauses_after(frame_text(FrameType::fin, 0, 0)));
}

TEST_F(FramesOfALink, DataThatIsDroppedSinceTheSessionEndsIsHeldUp) {
  pipe_.reset(Reason::application_reset);
  EXPECT_TRUE(pauses_after(data_frame(0, "x")));
}

TEST_F(FramesOfALink, NewDataInSmallFramesIsNeverHeldUp) {
  for (std::uint64_t i = 0; i < 3 * kBudget; ++i) {
    receive(pipe_, data_frame(i, "x"), kNow).value();
    deliver(pipe_, kNow);
    take_all(pipe_, kNow);
  }
  EXPECT_FALSE(pipe_.receives_much_without_news(kNow));
}

// A bulk transfer over a short path: the peer acknowledges, and moves its window, with every frame.
TEST_F(FramesOfALink, WindowsAndAcknowledgementsOfWhatWasDeliveredAreNeverHeldUp) {
  for (std::uint64_t i = 1; i < 3 * kBudget; ++i) {
    write(pipe_, "x");
    take_all(pipe_, kNow);
    const bool window = i % 2 == 0;
    receive(pipe_, frame_text(window ? FrameType::window : FrameType::ack, i, (1U << 20) + i), kNow)
        .value();
  }
  EXPECT_FALSE(pipe_.receives_much_without_news(kNow));
}

TEST_F(FramesOfALink, ANewLinkHasABudgetOfItsOwn) {
  EXPECT_TRUE(pauses_after(frame_text(FrameType::ping, 0, 1)));
  lose_link();
  attach();
  EXPECT_FALSE(pipe_.receive_pause(kNow));
}

}  // namespace
}  // namespace backedpipe::test
