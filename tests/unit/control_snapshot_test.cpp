// Snapshots as the JSON that scripts read: names, order, and how what is not known looks.
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "control/snapshot_json.hpp"
#include "control/timestamp.hpp"

namespace backedpipe {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

Names names_of(const OrderedJson& object) {
  Names names;
  for (const auto& item : object.items())
    names.push_back(item.key());
  return names;
}

WallTime at(std::int64_t milliseconds) {
  return WallTime(std::chrono::milliseconds(milliseconds));
}

SessionSnapshot known_session() {
  SessionSnapshot session;
  session.id.bytes = {0x01, 0x23, 0xab, 0xcd};
  session.role = Role::server;
  session.tunnel = "ssh";
  session.service = "shell";
  session.peer = "office";
  session.identity = "laptop";
  session.state = PipeState::connected;
  session.generation = 5;
  session.reconnects = 4;
  session.created_at = at(1'709'251'199'999);
  session.state_since = at(1'709'251'200'000);
  session.application = "127.0.0.1:40000";
  session.link = "[::1]:7700";
  session.bytes_in = 1;
  session.bytes_out = 2;
  session.unacked = 3;
  session.buffered = 4;
  session.window = ~std::uint64_t{0};
  session.rtt = 1'234'567ns;
  session.last_error = "connection reset by peer";
  session.suspect = true;
  session.kept = true;
  session.restores = 2;
  return session;
}

TEST(SessionJson, HasTheDocumentedFields) {
  EXPECT_EQ(
      names_of(to_json(SessionSnapshot{})),
      (Names{"id",          "role",       "tunnel",     "service",   "peer",       "identity",
             "state",       "generation", "reconnects", "restores",  "created_at", "state_since",
             "application", "link",       "bytes_in",   "bytes_out", "unacked",    "buffered",
             "window",      "rtt_ms",     "last_error", "suspect",   "kept"}));
}

TEST(SessionJson, SaysWhatIsKnown) {
  EXPECT_EQ(to_text(to_json(known_session())),
            R"({"id":"0123abcd000000000000000000000000","role":"server","tunnel":"ssh",)"
            R"("service":"shell","peer":"office","identity":"laptop","state":"connected",)"
            R"("generation":5,"reconnects":4,"restores":2,"created_at":"2024-02-29T23:59:59.999Z",)"
            R"("state_since":"2024-03-01T00:00:00.000Z","application":"127.0.0.1:40000",)"
            R"("link":"[::1]:7700","bytes_in":1,"bytes_out":2,"unacked":3,"buffered":4,)"
            R"("window":18446744073709551615,"rtt_ms":1.235,)"
            R"("last_error":"connection reset by peer","suspect":true,"kept":true})");
}

TEST(SessionJson, HistoryBeginsWithTheProcessThatContinuedTheSession) {
  SessionSnapshot session;
  session.history.push_back({.generation = 4,
                             .link = "[::1]:7700",
                             .attached_at = at(5),
                             .away = {},
                             .detached_at = {},
                             .reason = {},
                             .detail = {}});
  EXPECT_EQ(history_json(session).size(), 1U);
  session.restores = 3;
  session.restored_at = at(1);
  const OrderedJson history = history_json(session);
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(to_text(history.at(0)), R"({"restored":3,"time":"1970-01-01T00:00:00.001Z"})");
  EXPECT_EQ(history.at(1).at("generation"), 4);
}

TEST(SessionJson, SaysNullForWhatIsNotKnown) {
  const OrderedJson session = to_json(SessionSnapshot{});
  for (const char* name : {"link", "rtt_ms", "last_error"})
    EXPECT_TRUE(session.at(name).is_null()) << name;
  for (const char* name : {"tunnel", "peer", "identity", "application"})
    EXPECT_EQ(session.at(name), "") << name;
}

TEST(SessionJson, NamesRolesAndStates) {
  SessionSnapshot session;
  EXPECT_EQ(to_json(session).at("role"), "client");
  session.role = Role::server;
  EXPECT_EQ(to_json(session).at("role"), "server");
  for (const auto& [state, name] : {std::pair{PipeState::connected, "connected"},
                                    {PipeState::disconnected, "disconnected"},
                                    {PipeState::reconnecting, "reconnecting"},
                                    {PipeState::closed, "closed"}}) {
    session.state = state;
    EXPECT_EQ(to_json(session).at("state"), name);
  }
}

TEST(SessionJson, GivesRoundTripsInMillisecondsToTheMicrosecond) {
  SessionSnapshot session;
  for (const auto& [rtt, text] : {std::pair{Duration(0ns), "0.0"},
                                  {Duration(213us), "0.213"},
                                  {Duration(1499ns), "0.001"},
                                  {Duration(2s), "2000.0"}}) {
    session.rtt = rtt;
    EXPECT_EQ(to_text(to_json(session).at("rtt_ms")), text);
  }
}

TEST(SessionJson, IsOneLineOfValidUtf8WhateverItsTextsHold) {
  SessionSnapshot session;
  session.last_error = "a\nb\r\x01\xff\xc3 \xe2\x82";
  session.peer = std::string("nul\0nul", 7);
  const std::string text = to_text(to_json(session));
  EXPECT_EQ(text.find_first_of(std::string("\n\r\0", 3)), std::string::npos);
  const OrderedJson back = OrderedJson::parse(text);
  EXPECT_EQ(back.at("peer"), session.peer);
  EXPECT_EQ(back.at("last_error"), "a\nb\r\x01\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd");
}

TEST(StatusJson, HasTheDocumentedFields) {
  StatusSnapshot status;
  status.tunnels.emplace_back();
  status.peers.emplace_back();
  status.listeners.emplace_back();
  const OrderedJson json = to_json(status);
  EXPECT_EQ(names_of(json),
            (Names{"version", "pid", "instance", "started_at", "uptime_s", "draining", "continuity",
                   "sessions", "tunnels", "peers", "listeners", "workers", "totals"}));
  EXPECT_EQ(names_of(json.at("continuity")),
            (Names{"kept", "why_not", "since", "restarts", "restored", "lost", "not_kept"}));
  EXPECT_EQ(names_of(json.at("sessions")), (Names{"connected", "disconnected", "reconnecting"}));
  EXPECT_EQ(names_of(json.at("tunnels").at(0)),
            (Names{"name", "listen", "peer", "service", "sessions"}));
  EXPECT_EQ(names_of(json.at("peers").at(0)),
            (Names{"name", "endpoints", "security", "state", "last_error", "next_attempt",
                   "sessions", "waiting", "dialling", "dials", "spare_links", "links_reused"}));
  EXPECT_EQ(names_of(json.at("listeners").at(0)),
            (Names{"listen", "security", "handshakes", "sessions", "spare_links"}));
  EXPECT_EQ(names_of(json.at("totals")),
            (Names{"sessions_opened", "sessions_ended", "attaches", "bytes_in", "bytes_out",
                   "replayed_bytes", "handshakes_failed", "links_handed_over", "segments_in_use",
                   "segment_bytes", "memory_limit"}));
}

TEST(StatusJson, HasEmptyListsRatherThanNone) {
  const OrderedJson json = to_json(StatusSnapshot{});
  for (const char* name : {"tunnels", "peers", "listeners"})
    EXPECT_EQ(json.at(name), OrderedJson::array()) << name;
}

TEST(StatusJson, SaysHowItsPeersAre) {
  StatusSnapshot status;
  status.uptime = std::chrono::hours(30);
  status.peers.push_back({.name = "office",
                          .endpoints = {"a:1", "b:2"},
                          .security = "psk",
                          .state = PeerState::down,
                          .last_error = "refused",
                          .next_attempt = at(1),
                          .sessions = 7,
                          .waiting = 6,
                          .dialling = 1,
                          .dials = 40,
                          .spare_links = 3,
                          .links_reused = 22});
  status.peers.push_back({});
  const OrderedJson json = to_json(status);
  EXPECT_EQ(json.at("uptime_s"), 108000);
  EXPECT_EQ(json.at("peers").at(0),
            OrderedJson::parse(R"({"name": "office", "endpoints": ["a:1", "b:2"],
              "security": "psk", "state": "down", "last_error": "refused",
              "next_attempt": "1970-01-01T00:00:00.001Z", "sessions": 7,
              "waiting": 6, "dialling": 1, "dials": 40, "spare_links": 3,
              "links_reused": 22})"));
  EXPECT_EQ(json.at("peers").at(1).at("state"), "unknown");
  EXPECT_TRUE(json.at("peers").at(1).at("last_error").is_null());
  EXPECT_TRUE(json.at("peers").at(1).at("next_attempt").is_null());
  EXPECT_EQ(name(PeerState::up), "up");
}

TEST(Timestamp, IsRfc3339InUtcRoundedDown) {
  EXPECT_EQ(format_timestamp(at(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_timestamp(at(1'709'251'199'999)), "2024-02-29T23:59:59.999Z");
  EXPECT_EQ(format_timestamp(at(1'709'251'199'999) + 999us), "2024-02-29T23:59:59.999Z");
  EXPECT_EQ(format_timestamp(at(-1)), "1969-12-31T23:59:59.999Z");
}

TEST(Timestamp, HoldsForAllTimesOfTheClock) {
  EXPECT_EQ(format_timestamp(WallTime::max()), "2262-04-11T23:47:16.854Z");
  EXPECT_EQ(format_timestamp(WallTime::min()), "1677-09-21T00:12:43.145Z");
}

}  // namespace
}  // namespace backedpipe
