#include "pipe/outbox.hpp"

#include <string>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class OutboxTest : public testing::Test {
 protected:
  OutboxTest() {
    ring_.write(bytes_of(stream_text(0, 200)));
    outbox_.add({FrameType::pong, 5, 99});
    outbox_.add({FrameType::data, 5, 10}, 50);
    outbox_.add({FrameType::data, 5, 60}, 70);
    outbox_.add({FrameType::fin, 5, 130});
    whole_ = frame_text(FrameType::pong, 5, 99) + data_frame(10, stream_text(10, 50), 5) +
             data_frame(60, stream_text(60, 70), 5) + frame_text(FrameType::fin, 5, 130);
  }

  std::string pieces(std::size_t most_pieces = 64) const {
    std::vector<ConstBytes> out(most_pieces);
    return text_of(std::span(out).first(outbox_.pieces(ring_, out)));
  }

  ArenaPool pool_;
  RingBuffer ring_{*pool_, SegmentPool::Use::inbound, 256};
  Outbox outbox_;
  std::string whole_;
};

TEST_F(OutboxTest, OffersItsFramesInOrderWithPayloadOutOfTheRing) {
  EXPECT_EQ(pieces(), whole_);
}

TEST_F(OutboxTest, OffersAsMuchAsThePiecesHold) {
  EXPECT_EQ(pieces(0), "");
  for (std::size_t most = 1; most < 16; ++most) {
    const std::string text = pieces(most);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(text, whole_.substr(0, text.size()));
    EXPECT_GT(pieces(most + 1).size() + (text == whole_ ? 1 : 0), text.size());
  }
}

TEST_F(OutboxTest, OffersTheSameBytesAfterEachPartIsTaken) {
  for (std::size_t taken = 0; taken < whole_.size(); ++taken) {
    ASSERT_EQ(pieces(), whole_.substr(taken)) << taken;
    ASSERT_EQ(pieces(2), whole_.substr(taken, pieces(2).size())) << taken;
    outbox_.taken(1);
  }
  EXPECT_TRUE(outbox_.empty());
  EXPECT_EQ(pieces(), "");
}

TEST_F(OutboxTest, TellsHowFarTheStreamIsWithTheLink) {
  EXPECT_EQ(outbox_.taken(24).sequence, std::nullopt) << "a PONG is not part of the stream";
  EXPECT_EQ(outbox_.taken(24).sequence, std::nullopt) << "nor is the head of a DATA frame";
  EXPECT_EQ(outbox_.taken(1).sequence, 11U);
  EXPECT_EQ(outbox_.taken(49 + 24 + 2).sequence, 62U);
  EXPECT_EQ(outbox_.taken(68 + 23).sequence, 130U) << "the FIN is not out before its last byte is";
  EXPECT_EQ(outbox_.taken(1).sequence, 131U);
}

TEST_F(OutboxTest, TellsWhenAResetHasGoneOutWhole) {
  outbox_.clear();
  outbox_.add({FrameType::reset, 0, 12});
  EXPECT_FALSE(outbox_.taken(kFrameHeaderBytes + 1).reset);
  EXPECT_TRUE(outbox_.taken(1).reset);
}

TEST_F(OutboxTest, ForgetsAPartlyTakenFrameWithItsLink) {
  outbox_.taken(60);
  outbox_.clear();
  EXPECT_TRUE(outbox_.empty());
  outbox_.add({FrameType::ack, 3, 0});
  EXPECT_EQ(pieces(), frame_text(FrameType::ack, 3));
}

class OutboxBudget : public testing::Test {
 protected:
  static constexpr std::size_t kKiB = 1024;

  // One filling with all that the budget allows, of which the link takes so many quarters first.
  void fill_and_take(std::size_t quarters) {
    const std::size_t whole = kMaxFramePrefixBytes + outbox_.budget_bytes();
    outbox_.add({FrameType::data, 0, 0}, outbox_.budget_bytes());
    outbox_.taken(whole * quarters / 4);
    if (quarters < 4) outbox_.taken(whole - whole * quarters / 4);
  }

  Outbox outbox_;
};

TEST_F(OutboxBudget, DoublesWhileTheLinkTakesWholeFillingsUpToAMebibyte) {
  EXPECT_EQ(outbox_.budget_bytes(), 64 * kKiB);
  fill_and_take(4);
  EXPECT_EQ(outbox_.budget_bytes(), 128 * kKiB);
  for (int i = 0; i < 10; ++i)
    fill_and_take(4);
  EXPECT_EQ(outbox_.budget_bytes(), 1024 * kKiB);
}

TEST_F(OutboxBudget, HalvesOnceForEachFillingThatTheLinkTakesInPartsDownToALeast) {
  fill_and_take(1);
  EXPECT_EQ(outbox_.budget_bytes(), 32 * kKiB);
  fill_and_take(3);
  EXPECT_EQ(outbox_.budget_bytes(), 16 * kKiB);
  fill_and_take(1);
  EXPECT_EQ(outbox_.budget_bytes(), 16 * kKiB);
  fill_and_take(4);
  EXPECT_EQ(outbox_.budget_bytes(), 32 * kKiB);
}

TEST_F(OutboxBudget, IsNotRaisedByFillingsThatDoNotTryIt) {
  for (int i = 0; i < 10; ++i) {
    outbox_.add({FrameType::ping, 0, 1});
    outbox_.add({FrameType::data, 0, 0}, 100);
    outbox_.taken(2 * kMaxFramePrefixBytes + 100);
  }
  EXPECT_EQ(outbox_.budget_bytes(), 64 * kKiB)
      << "an idle session's heartbeats say nothing about what its link can take";
  outbox_.taken(0);
  EXPECT_EQ(outbox_.budget_bytes(), 64 * kKiB);
}

}  // namespace
}  // namespace backedpipe::test
