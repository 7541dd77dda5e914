#include "net/memory/memory_waiters.hpp"

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class MemoryWaitersTest : public testing::Test {
 protected:
  void add(int number) {
    waiters_.add([this, number] { woken_.push_back(number); });
  }
  void free_one() {
    pool_->free(*pool_->allocate(SegmentPool::Use::inbound), SegmentPool::Use::inbound);
  }
  // Runs until nothing is left to do.
  void run() {
    io_.restart();
    io_.run();
  }

  ArenaPool pool_{8};
  boost::asio::io_context io_;
  MemoryWaiters waiters_{io_, *pool_};
  std::vector<int> woken_;
};

TEST_F(MemoryWaitersTest, NobodyIsWokenBeforeSomeIsFreed) {
  add(1);
  run();
  EXPECT_TRUE(woken_.empty());
  free_one();
  run();
  EXPECT_EQ(woken_, std::vector<int>{1});
}

TEST_F(MemoryWaitersTest, EverybodyHasOneTurnHoweverMany) {
  std::vector<int> all(200);
  std::iota(all.begin(), all.end(), 0);
  for (const int number : all)
    add(number);
  free_one();
  run();
  EXPECT_EQ(woken_, all);
}

TEST_F(MemoryWaitersTest, WhoFindsNoneWaitsForTheNextTime) {
  waiters_.add([this] {
    woken_.push_back(1);
    add(2);
  });
  free_one();
  run();
  EXPECT_EQ(woken_, std::vector<int>{1});
  free_one();
  run();
  EXPECT_EQ(woken_, (std::vector<int>{1, 2}));
}

TEST_F(MemoryWaitersTest, WhatIsFreedDuringATurnGivesEverybodyAnother) {
  waiters_.add([this] {
    add(0);
    free_one();
  });
  for (int number = 1; number <= 100; ++number)
    add(number);
  free_one();
  run();
  EXPECT_EQ(woken_.size(), 101U);
}

TEST_F(MemoryWaitersTest, WhatIsFreedWhileNobodyWaitsWakesNobody) {
  free_one();
  add(1);
  run();
  EXPECT_TRUE(woken_.empty());
}

}  // namespace
}  // namespace backedpipe::test
