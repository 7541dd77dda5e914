// Events and histories: what they say in the log and as JSON, and that they stay small.
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "control/request.hpp"
#include "control/session_history.hpp"
#include "control/snapshot_json.hpp"

namespace backedpipe {
namespace {

using namespace std::chrono_literals;

Event event_of(Event::Kind kind) {
  Event event;
  event.kind = kind;
  event.time = WallTime(1'709'251'199'999ms);
  event.session.emplace().bytes = {0x01, 0x23};
  event.generation = 5;
  event.tunnel = "work";
  event.service = "ssh";
  event.identity = "laptop";
  event.application = "127.0.0.1:40000";
  event.link = "192.0.2.1:7700";
  event.peer = "office";
  event.bytes_in = 10;
  event.bytes_out = 20;
  event.links_count = 3;
  return event;
}

const std::string kSession = "session 01230000000000000000000000000000";

TEST(EventText, SaysWhoseAndWhyAndHowLong) {
  Event event = event_of(Event::Kind::open);
  EXPECT_EQ(describe(event),
            kSession + ": opened from 127.0.0.1:40000: tunnel work, peer office, service ssh");
  event.kind = Event::Kind::attach;
  event.reason = "open";
  EXPECT_EQ(describe(event),
            kSession + " generation 5: attached to 192.0.2.1:7700, peer office (open)");
  event.reason = "resume";
  event.duration = 523'140us;
  EXPECT_EQ(
      describe(event),
      kSession + " generation 5: attached to 192.0.2.1:7700 after 523.1 ms, peer office (resume)");
  event.kind = Event::Kind::detach;
  event.reason = "timed_out";
  event.duration = 62s;
  EXPECT_EQ(describe(event),
            kSession + " generation 5: detached: timed_out after 62.0 s, peer office");
  event.detail = "Connection timed out";
  EXPECT_EQ(describe(event),
            kSession + " generation 5: detached: Connection timed out after 62.0 s, peer office");
  event.kind = Event::Kind::close;
  event.detail.clear();
  event.reason = "closed";
  EXPECT_EQ(describe(event),
            kSession +
                ": ended: closed after 62.0 s, peer office (delivered 10 bytes, took 20 "
                "bytes, 3 links)");
}

TEST(EventText, OfAServerNamesTheIdentity) {
  Event event = event_of(Event::Kind::open);
  event.role = Role::server;
  event.peer.clear();
  event.tunnel.clear();
  event.application = "127.0.0.1:22";
  EXPECT_EQ(describe(event), kSession + ": opened by laptop: service ssh, target 127.0.0.1:22");
  event.identity.clear();
  EXPECT_EQ(describe(event), kSession + ": opened by anybody: service ssh, target 127.0.0.1:22");
  event.kind = Event::Kind::takeover;
  event.reason = "takeover";
  event.identity = "laptop";
  EXPECT_EQ(describe(event),
            kSession + " generation 5: attached to 192.0.2.1:7700, identity laptop (takeover)");
}

TEST(EventText, OfAPeerIsAboutThePeerOnly) {
  Event event;
  event.kind = Event::Kind::peer_down;
  event.peer = "office";
  event.reason = "unreachable";
  event.detail = "Connection refused";
  EXPECT_EQ(describe(event), "peer office: down: Connection refused");
  event.kind = Event::Kind::peer_up;
  EXPECT_EQ(describe(event), "peer office: up again");
  event.duration = 3s;
  EXPECT_EQ(describe(event), "peer office: up again after 3.0 s");
  EXPECT_FALSE(to_json(event).contains("session"));
}

TEST(EventJson, HasEveryFieldOfAnEvent) {
  Event event = event_of(Event::Kind::attach);
  event.reason = "resume";
  event.duration = 523'140us;
  EXPECT_EQ(to_json(event), OrderedJson::parse(R"json({
    "event": "attach", "time": "2024-02-29T23:59:59.999Z",
    "session": "01230000000000000000000000000000", "generation": 5, "role": "client",
    "tunnel": "work", "service": "ssh", "identity": "laptop", "application": "127.0.0.1:40000",
    "link": "192.0.2.1:7700", "bytes_in": 10, "bytes_out": 20, "links": 3, "peer": "office",
    "reason": "resume", "detail": null, "duration_s": 0.523, "text":
    "session 01230000000000000000000000000000 generation 5: attached to 192.0.2.1:7700 after 523.1 ms, peer office (resume)"
  })json"));
}

TEST(EventJson, CallsEachKindByItsName) {
  using Kind = Event::Kind;
  for (const auto& [kind, word] :
       {std::pair{Kind::open, "open"}, std::pair{Kind::attach, "attach"},
        std::pair{Kind::detach, "detach"}, std::pair{Kind::takeover, "takeover"},
        std::pair{Kind::close, "close"}, std::pair{Kind::peer_up, "peer_up"},
        std::pair{Kind::peer_down, "peer_down"}, std::pair{Kind::restored, "restored"}})
    EXPECT_EQ(to_json(event_of(kind)).at("event"), word);
}

TEST(EventJson, IsANotificationOfOneLine) {
  Event event = event_of(Event::Kind::detach);
  event.reason = "failed";
  event.detail = "a\nb\xff";
  event.duration = 1'500'400us;
  const std::string line = event_notification(event);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const OrderedJson notification = OrderedJson::parse(line);
  EXPECT_EQ(notification.at("method"), "event");
  EXPECT_FALSE(notification.contains("id"));
  const OrderedJson& params = notification.at("params");
  EXPECT_EQ(params.at("event"), "detach");
  EXPECT_EQ(params.at("time"), "2024-02-29T23:59:59.999Z");
  EXPECT_EQ(params.at("session"), kSession.substr(8));
  EXPECT_EQ(params.at("duration_s"), 1.5);
  EXPECT_EQ(params.at("detail"), "a\nb\xef\xbf\xbd");
  EXPECT_EQ(dropped_notification(7),
            "{\"jsonrpc\":\"2.0\",\"method\":\"dropped\",\"params\":{\"events\":7}}\n");
}

SessionHistory::Link link_of(std::uint64_t generation) {
  SessionHistory::Link link;
  link.generation = generation;
  return link;
}

TEST(SessionHistory, KeepsTheLatestLinks) {
  SessionHistory history;
  for (std::uint64_t generation = 1; generation <= 40; ++generation) {
    history.attached(link_of(generation));
    history.detached({}, "closed", {});
  }
  ASSERT_EQ(history.links().size(), SessionHistory::kMaxLinks);
  EXPECT_EQ(history.links().front().generation, 9);
  EXPECT_EQ(history.links().back().generation, 40);
  history.attached(link_of(41));
  ASSERT_EQ(history.links().size(), SessionHistory::kMaxLinks);
  EXPECT_EQ(history.links().front().generation, 10);
  EXPECT_EQ(history.links().back().generation, 41);
}

TEST(SessionHistory, KeepsTheFirstReasonOfALink) {
  SessionHistory history;
  history.detached({}, "nobody", {});
  EXPECT_TRUE(history.links().empty());
  history.attached(link_of(1));
  EXPECT_FALSE(history.links()[0].detached_at);
  history.detached(WallTime(1s), "timed_out", "Connection timed out");
  history.detached(WallTime(2s), "closed", {});
  EXPECT_EQ(history.links()[0].detached_at, WallTime(1s));
  EXPECT_EQ(history.links()[0].reason, "timed_out");
  EXPECT_EQ(history.links()[0].detail, "Connection timed out");
}

TEST(SessionHistory, TellsTheAddressOfTheLatestLinkAlsoWhenItHasEnded) {
  SessionHistory history;
  history.attached({.generation = 1, .address = "192.0.2.1:7700", .attached_at = {}, .away = {}});
  history.detached({}, "closed", {});
  EXPECT_EQ(history.latest_address(), "192.0.2.1:7700");
  history.attached({.generation = 2, .address = "192.0.2.2:7700", .attached_at = {}, .away = 1s});
  EXPECT_EQ(history.latest_address(), "192.0.2.2:7700");
  ASSERT_EQ(history.links().size(), 2U);
  EXPECT_EQ(history.links()[0].link, "192.0.2.1:7700");
  EXPECT_EQ(history.links()[1].link, "192.0.2.2:7700");
  EXPECT_EQ(history.links()[1].away, 1s);
}

}  // namespace
}  // namespace backedpipe
