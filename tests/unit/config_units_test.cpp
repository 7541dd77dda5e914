// Sizes and durations in the configuration file.

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "config/units.hpp"
#include "config_support.hpp"

namespace backedpipe {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Config, TakesSizesWithUnitsOrInBytes) {
  const auto size = [](const std::string& text) {
    const auto settings = parse_with("\"limits\": {\"replay_buffer\": " + text + "}");
    EXPECT_TRUE(settings) << errors_of(settings);
    return settings ? settings->limits.replay_buffer_bytes : 0;
  };
  EXPECT_EQ(size("65536"), 65536U);
  EXPECT_EQ(size("\"65536\""), 65536U);
  EXPECT_EQ(size("\"65536B\""), 65536U);
  EXPECT_EQ(size("\"64KiB\""), 65536U);
  EXPECT_EQ(size("\"100KB\""), 100000U);
  EXPECT_EQ(size("\"1MB\""), 1000000U);
  EXPECT_EQ(size("\"16GiB\""), 16ULL << 30U);
}

TEST(Config, StatesTheRangeOfSizes) {
  for (const char* text : {"65535", "\"63KiB\"", "\"17GiB\"", "0", "\"99999999999999999999\"",
                           "\"18446744073709551615TiB\"", "\"0B\""}) {
    expect_error(parse_with(std::string("\"limits\": {\"replay_buffer\": ") + text + "}"),
                 "expected a size from 64KiB to 16GiB");
  }
  for (const char* text : {"\"\"", "\"MiB\"", "\"64 MiB\"", "\"64M\"", "\"64mib\"", "\"-1MiB\"",
                           "\"1.5GiB\"", "\"64MiBx\"", "\"0x10000\""}) {
    expect_error(parse_with(std::string("\"limits\": {\"replay_buffer\": ") + text + "}"),
                 "expected a size: a whole number and KiB, MiB, GiB, TiB");
  }
  expect_error(parse_with(R"("limits": {"replay_buffer": -5})"), "found -5, expected a size");
}

TEST(Config, TakesDurationsWithUnits) {
  const auto timeout = [](const std::string& text) {
    const auto settings = parse_with("\"limits\": {\"resume_timeout\": \"" + text + "\"}");
    EXPECT_TRUE(settings) << errors_of(settings);
    return settings ? settings->limits.resume_timeout : milliseconds(0);
  };
  EXPECT_EQ(timeout("1500ms"), milliseconds(1500));
  EXPECT_EQ(timeout("5s"), seconds(5));
  EXPECT_EQ(timeout("10m"), std::chrono::minutes(10));
  EXPECT_EQ(timeout("48h"), hours(48));
}

TEST(Config, AsksForTheUnitOfADuration) {
  expect_error(parse_with(R"("liveness": {"ping": 5})"),
               "add a unit (ms, s, m or h), for example \"5s\"");
  expect_error(parse_with(R"("liveness": {"ping": "5"})"), "add a unit, for example \"5s\"");
  for (const char* text : {"", "s", "5 s", "5sec", "-5s", "1h30m", "5S"}) {
    expect_error(parse_with(std::string(R"("liveness": {"ping": ")") + text + "\"}"),
                 "expected a duration: a whole number and ms, s, m or h");
  }
  for (const char* text : {"0s", "9ms", "2h", "99999999999999999999h", "9223372036854775807h"}) {
    expect_error(parse_with(std::string(R"("liveness": {"ping": ")") + text + "\"}"),
                 "expected a duration from 10ms to 1h");
  }
}

TEST(Config, SpellsSizesAndDurationsSoThatItReadsThemBack) {
  for (const std::uint64_t size : {0ULL, 1ULL, 1000ULL, 65536ULL, 65537ULL, 1ULL << 40U}) {
    EXPECT_EQ(*parse_size(format_size(size)), size) << format_size(size);
  }
  for (const int count : {0, 1, 999, 1000, 90'000, 3'600'000}) {
    const std::string text = format_duration(milliseconds(count));
    EXPECT_EQ(*parse_duration(text), milliseconds(count)) << text;
  }
  EXPECT_EQ(format_duration(seconds(90)), "90s");
}

}  // namespace
}  // namespace backedpipe
