#include "net/events/repeated_warning.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

using Lines = std::vector<std::string>;

class RepeatedWarningTest : public testing::Test {
 protected:
  boost::asio::io_context io_;
  Lines said_;
  RepeatedWarning warning_{io_, "door", [this](const std::string& line) { said_.push_back(line); },
                           std::chrono::milliseconds(1)};
};

TEST_F(RepeatedWarningTest, TheFirstIsSaidAtOnce) {
  warning_.add("a knock");
  EXPECT_EQ(said_, Lines{"door: a knock"});
  io_.run();
  EXPECT_EQ(said_.size(), 1U) << "nothing more has happened";
}

TEST_F(RepeatedWarningTest, WhatComesInTheIntervalIsOneLine) {
  warning_.add("a knock");
  warning_.add("another");
  warning_.add("the last");
  EXPECT_EQ(said_.size(), 1U);
  io_.run_one();
  EXPECT_EQ(said_, (Lines{"door: a knock", "door: 2 more, the latest: the last"}));
  warning_.add("late");
  EXPECT_EQ(said_.size(), 2U) << "the next interval has begun with that line";
  io_.run();
  EXPECT_EQ(said_.back(), "door: 1 more, the latest: late");
}

TEST_F(RepeatedWarningTest, AfterAQuietIntervalTheNextIsSaidAtOnceAgain) {
  warning_.add("a knock");
  io_.run();
  warning_.add("later");
  EXPECT_EQ(said_, (Lines{"door: a knock", "door: later"}));
}

}  // namespace
}  // namespace backedpipe::test
