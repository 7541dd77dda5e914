// What people at a terminal are told of the link: what the end-to-end tests cannot wait for.
#include "daemon/link_notices.hpp"

#include <string>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

namespace backedpipe {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Event event(Event::Kind kind, std::string detail = {}) {
  Event event;
  event.kind = kind;
  event.detail = std::move(detail);
  return event;
}

TEST(LinkNotices, TimesAreSaidInTheUnitsOfPeople) {
  EXPECT_EQ(in_words(milliseconds(4249)), "4.2 s");
  EXPECT_EQ(in_words(seconds(30)), "30 s");
  EXPECT_EQ(in_words(milliseconds(59999)), "59.9 s");
  EXPECT_EQ(in_words(seconds(200)), "3 min 20 s");
  EXPECT_EQ(in_words(minutes(2)), "2 min");
  EXPECT_EQ(in_words(hours(2) + minutes(5) + seconds(9)), "2 h 5 min");
  EXPECT_EQ(in_words(hours(24)), "24 h");
}

TEST(LinkNotices, WhateverIsInALineItStaysOneLine) {
  testing::internal::CaptureStderr();
  tell("a\nb\x1b[2Jc\x7f");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "backedpipd: a?b?[2Jc?\n");
}

TEST(LinkNotices, ALinkThatIsGivenUpForASilentNewerOneDoesNotAnswer) {
  boost::asio::io_context io;
  LinkNotices notices(io, "gw:7700", seconds(30));
  notices.hear(event(Event::Kind::attach));
  Event given_up = event(Event::Kind::detach, "given up for a newer link");
  given_up.reason = "takeover";
  notices.hear(given_up);
  testing::internal::CaptureStderr();
  io.run();
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "backedpipd: link to gw:7700 lost (it does not answer); reconnecting\n");
}

TEST(LinkNotices, ALinkThatComesBackWhileTheNoticeIsDueIsNoNews) {
  boost::asio::io_context io;
  LinkNotices notices(io, "gw:7700", seconds(30));
  notices.hear(event(Event::Kind::attach));
  notices.hear(event(Event::Kind::detach, "reset"));
  // Both are due by the time the loop gets to them, this one first.
  boost::asio::steady_timer earlier(io, milliseconds(990));
  earlier.async_wait(
      [&](const boost::system::error_code&) { notices.hear(event(Event::Kind::attach)); });
  std::this_thread::sleep_for(milliseconds(1100));
  testing::internal::CaptureStderr();
  io.run();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(LinkNotices, TheEndOfTheSessionIsNoLossOfTheLink) {
  boost::asio::io_context io;
  LinkNotices notices(io, "gw:7700", seconds(30));
  notices.hear(event(Event::Kind::attach));
  notices.hear(event(Event::Kind::detach, "closed"));
  notices.hear(event(Event::Kind::close));
  testing::internal::CaptureStderr();
  io.run();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace backedpipe
