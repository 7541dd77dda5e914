#include "net/shared/event_feed.hpp"

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

namespace backedpipe {
namespace {

Event event_of(std::uint64_t generation) {
  Event event;
  event.generation = generation;
  return event;
}

class EventFeedTest : public testing::Test {
 protected:
  EventFeedTest() {
    feed_.listen([this](const Event& event) { heard_.push_back(event.generation); });
  }

  boost::asio::io_context home_;
  EventFeed feed_{home_};
  std::vector<std::uint64_t> heard_;
};

TEST_F(EventFeedTest, TellsInOrderHoweverOftenItPauses) {
  std::vector<std::uint64_t> all;
  std::thread worker([this, &all] {
    for (std::uint64_t generation = 0; generation < 20000; ++generation) {
      feed_.publish(event_of(generation));
      all.push_back(generation);
    }
  });
  auto work = boost::asio::make_work_guard(home_);
  while (heard_.size() < 20000)
    home_.run_one();
  worker.join();
  EXPECT_EQ(heard_, all);
}

TEST_F(EventFeedTest, OneThatComesAloneDoesNotWait) {
  feed_.publish(event_of(1));
  home_.poll();
  EXPECT_EQ(heard_, std::vector<std::uint64_t>{1});
}

TEST_F(EventFeedTest, OthersThatComeAtOnceWaitToBeToldTogether) {
  const auto before = std::chrono::steady_clock::now();
  feed_.publish(event_of(1));
  home_.poll();
  feed_.publish(event_of(2));
  feed_.publish(event_of(3));
  EXPECT_EQ(home_.run_one(), 1U);
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(1));
  EXPECT_EQ(heard_, (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST_F(EventFeedTest, WhoeverAsksHearsThemBeforeThePauseIsOver) {
  feed_.publish(event_of(1));
  home_.poll();
  feed_.publish(event_of(2));
  feed_.deliver();
  EXPECT_EQ(heard_, (std::vector<std::uint64_t>{1, 2}));
  feed_.publish(event_of(3));
  home_.run();
  EXPECT_EQ(heard_, (std::vector<std::uint64_t>{1, 2, 3})) << "none twice";
}

// A listener that may end the process on an event must not miss it.
TEST_F(EventFeedTest, WhatHappensOnTheThreadThatHearsItDoesNotWait) {
  boost::asio::post(home_, [this] { feed_.publish(event_of(1)); });
  home_.poll();
  boost::asio::post(home_, [this] { feed_.publish(event_of(2)); });
  home_.poll();
  EXPECT_EQ(heard_, (std::vector<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace backedpipe
