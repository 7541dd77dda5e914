#include "net/shared/shared_gate.hpp"

#include <optional>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace backedpipe {
namespace {

SessionId session_of(std::uint8_t number) {
  SessionId id;
  id.bytes.fill(static_cast<decltype(id.bytes)::value_type>(number));
  return id;
}

using Withdrawal = SharedGate::Withdrawal;

// Two workers that ask one gate; what they are told comes when their io_context runs.
class SharedGateTest : public testing::Test {
 protected:
  // Nothing: break off.
  using Told = std::vector<std::optional<SharedGate::Dial>>;

  void request(std::uint8_t number, boost::asio::io_context& worker, Told& told) {
    gate_->request(session_of(number), worker,
                   [&told](std::optional<SharedGate::Dial> dial) { told.push_back(dial); });
  }
  static void run(boost::asio::io_context& io) {
    io.restart();
    io.poll();
  }
  void both_dial() {
    request(1, first_worker_, first_);
    request(2, second_worker_, second_);
    run(first_worker_);
    run(second_worker_);
  }

  boost::asio::io_context home_;
  boost::asio::io_context first_worker_;
  boost::asio::io_context second_worker_;
  EventFeed events_{home_};
  std::shared_ptr<SharedGate> gate_ = std::make_shared<SharedGate>(home_, events_, "office", 1);
  Told first_;
  Told second_;
};

TEST_F(SharedGateTest, WhoeverAsksIsToldOnItsOwnThread) {
  request(1, first_worker_, first_);
  request(2, second_worker_, second_);
  EXPECT_TRUE(first_.empty() && second_.empty()) << "nobody is told while it asks";
  run(first_worker_);
  EXPECT_EQ(first_.size(), 1U);
  EXPECT_TRUE(second_.empty());
  run(second_worker_);
  ASSERT_EQ(second_.size(), 1U);
  EXPECT_NE(first_.front(), second_.front());
  EXPECT_TRUE(gate_->answered(session_of(1), *first_.front()));
}

// A worker that is in the middle of its dial while the other finds the peer away: it hears of it
// later, and must not open or resume anything before it does.
TEST_F(SharedGateTest, ADialThatWasBrokenOffElsewhereDoesNotGoOn) {
  both_dial();
  // One is kept as the probe, the other waits for what comes of it.
  EXPECT_TRUE(gate_->failed(session_of(1), *first_.front(), "refused"));
  EXPECT_EQ(gate_->view().state, PeerGate::State::down);
  gate_->kick();
  const bool second_is_current = gate_->answered(session_of(2), *second_.front());
  run(second_worker_);
  EXPECT_EQ(second_is_current, second_.back() == second_.front())
      << "it is told to dial anew exactly when its dial does not count any more";
  ASSERT_FALSE(second_is_current);
  EXPECT_TRUE(gate_->failed(session_of(2), *second_.front(), "late")) << "it waits already";
  EXPECT_EQ(second_[1], std::nullopt) << "first it is told to break off";
}

TEST_F(SharedGateTest, ALinkThatAnswersLetsThoseDialWhoWaitForThePeer) {
  both_dial();
  EXPECT_TRUE(gate_->failed(session_of(1), *first_.front(), "refused"));
  ASSERT_EQ(gate_->view().state, PeerGate::State::down);
  ASSERT_EQ(gate_->view().waiting, 1U);
  gate_->alive();
  EXPECT_EQ(gate_->view().state, PeerGate::State::up);
  EXPECT_EQ(gate_->view().waiting, 0U);
  run(first_worker_);
  EXPECT_EQ(first_.size(), 2U) << "it is told to dial again, at once";
}

TEST_F(SharedGateTest, TheOldLinkOfASessionThatAnswersAfterAllSaysThatThePeerIsThere) {
  both_dial();
  EXPECT_TRUE(gate_->failed(session_of(1), *first_.front(), "refused"));
  ASSERT_EQ(gate_->view().state, PeerGate::State::down);
  gate_->withdraw(session_of(1), Withdrawal::link_answers);
  EXPECT_EQ(gate_->view().state, PeerGate::State::up);
  gate_->withdraw(session_of(1), Withdrawal::link_answers);
  EXPECT_EQ(gate_->view().dialling, 1U) << "the other one still dials";
}

TEST_F(SharedGateTest, ASessionThatIsServedSaysNothingOfThePeer) {
  both_dial();
  EXPECT_TRUE(gate_->failed(session_of(1), *first_.front(), "refused"));
  gate_->withdraw(session_of(1), Withdrawal::served);
  EXPECT_EQ(gate_->view().state, PeerGate::State::down);
}

// A session that waits has no dial: nothing that is said of one may count as its own.
TEST_F(SharedGateTest, ADialThatFailedDoesNotCountWhileItsSessionWaits) {
  both_dial();
  EXPECT_TRUE(gate_->failed(session_of(1), *first_.front(), "refused"));
  EXPECT_FALSE(gate_->answered(session_of(1), *first_.front()));
  EXPECT_EQ(gate_->view().state, PeerGate::State::down);
}

TEST_F(SharedGateTest, WhatIsSaidOfAnOlderDialHasNoEffect) {
  request(1, first_worker_, first_);
  run(first_worker_);
  const SharedGate::Dial older = *first_.front();
  EXPECT_TRUE(gate_->failed(session_of(1), older, "refused"));
  gate_->struggling(session_of(1), older, "of no interest");
  EXPECT_EQ(gate_->view().last_error, "refused");
  gate_->withdraw(session_of(1), Withdrawal::served);
  EXPECT_FALSE(gate_->answered(session_of(1), older));
  EXPECT_FALSE(gate_->failed(session_of(1), older, "late")) << "nobody waits any more";
}

}  // namespace
}  // namespace backedpipe
