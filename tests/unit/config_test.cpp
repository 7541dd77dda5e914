// The configuration file: what is accepted, what it means, and how errors read.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "config/load_settings.hpp"
#include "config/names.hpp"
#include "config/parse_settings.hpp"
#include "config_support.hpp"

namespace backedpipe {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Config, ReadsEverySettingOfTheReferenceFile) {
  const auto settings = load_settings(sample("backedpipd.json"));
  ASSERT_TRUE(settings) << to_string(settings.error());
  EXPECT_EQ(settings->control.socket, "/run/backedpipd/control.sock");
  EXPECT_EQ(settings->control.mode, 0660U);
  EXPECT_EQ(settings->control.group, "backedpipd");
  ASSERT_TRUE(settings->metrics.listen);
  EXPECT_EQ(to_string(*settings->metrics.listen), "127.0.0.1:9677");
  EXPECT_EQ(settings->log.level, LogLevel::info);
  EXPECT_EQ(settings->log.format, LogFormat::text);
  EXPECT_EQ(settings->workers, 2U);
  EXPECT_EQ(settings->limits.max_sessions, 10000U);
  EXPECT_EQ(settings->limits.replay_buffer_bytes, 64U * 1024 * 1024);
  EXPECT_EQ(settings->limits.max_window_bytes, 16U * 1024 * 1024);
  EXPECT_EQ(settings->limits.max_memory_bytes, 2ULL * 1024 * 1024 * 1024);
  EXPECT_EQ(settings->limits.resume_timeout, hours(24));
  EXPECT_EQ(settings->limits.max_handshakes, 256U);
  EXPECT_EQ(settings->liveness.ping, seconds(5));
  EXPECT_EQ(settings->liveness.suspect, seconds(3));
  EXPECT_EQ(settings->liveness.dead, seconds(15));
  EXPECT_EQ(settings->liveness.application_keepalive, seconds(60));

  const PeerSettings* office = settings->find_peer("office");
  ASSERT_NE(office, nullptr);
  EXPECT_EQ(office->endpoints, (std::vector<Endpoint>{{"gw.example.org", 7700}}));
  EXPECT_EQ(office->security, Security::psk);
  EXPECT_EQ(office->key_file, sample("office.key"));
  ASSERT_EQ(settings->tunnels.size(), 1U);
  EXPECT_EQ(settings->tunnels[0].name, "ssh");
  EXPECT_EQ(settings->tunnels[0].listen, (Address{"127.0.0.1", 2222, ""}));
  EXPECT_EQ(settings->tunnels[0].peer, "office");
  EXPECT_EQ(settings->tunnels[0].service, "ssh");
  ASSERT_EQ(settings->accept.size(), 1U);
  EXPECT_EQ(settings->accept[0].listen, (Address{"::", 7700, ""}));
  EXPECT_EQ(settings->accept[0].key_file, sample("clients.keys"));
  EXPECT_TRUE(settings->accept[0].allows("laptop", "ssh"));
  EXPECT_FALSE(settings->accept[0].allows("laptop", "database"));
  EXPECT_FALSE(settings->accept[0].allows("desktop", "ssh"));
  ASSERT_NE(settings->find_service("ssh"), nullptr);
  EXPECT_EQ(settings->find_service("ssh")->target, (Address{"127.0.0.1", 22, ""}));
  EXPECT_EQ(settings->find_service("smtp"), nullptr);
}

TEST(Config, ReadsTheAnnotatedSamples) {
  const auto client = load_settings(sample("client.json"));
  ASSERT_TRUE(client) << to_string(client.error());
  EXPECT_EQ(client->tunnels.size(), 1U);
  EXPECT_TRUE(client->accept.empty());
  const auto server = load_settings(sample("server.json"));
  ASSERT_TRUE(server) << to_string(server.error());
  EXPECT_EQ(server->services.size(), 2U);
  EXPECT_EQ(server->limits.max_sessions_per_identity, 1000U);
  EXPECT_TRUE(server->services[1].target.is_unix());
}

TEST(Config, HasTheDefaultsThatTheSamplesState) {
  const auto bare = parse_with("");
  ASSERT_TRUE(bare) << to_string(bare.error());
  const auto full = load_settings(sample("client.json"));
  ASSERT_TRUE(full);
  EXPECT_EQ(bare->control.mode, full->control.mode);
  EXPECT_EQ(bare->log.level, full->log.level);
  EXPECT_EQ(bare->log.format, full->log.format);
  EXPECT_EQ(bare->limits.max_sessions, full->limits.max_sessions);
  EXPECT_FALSE(bare->limits.max_sessions_per_identity);
  EXPECT_EQ(bare->limits.replay_buffer_bytes, full->limits.replay_buffer_bytes);
  EXPECT_EQ(bare->limits.max_window_bytes, full->limits.max_window_bytes);
  EXPECT_EQ(bare->limits.max_memory_bytes, full->limits.max_memory_bytes);
  EXPECT_EQ(bare->limits.resume_timeout, full->limits.resume_timeout);
  EXPECT_EQ(bare->limits.max_handshakes, full->limits.max_handshakes);
  EXPECT_EQ(bare->limits.spare_links, full->limits.spare_links);
  EXPECT_EQ(bare->liveness.ping, full->liveness.ping);
  EXPECT_EQ(bare->liveness.suspect, full->liveness.suspect);
  EXPECT_EQ(bare->liveness.dead, full->liveness.dead);
  EXPECT_EQ(bare->liveness.application_keepalive, full->liveness.application_keepalive);
  EXPECT_EQ(bare->workers, 0U);
  EXPECT_FALSE(bare->control.socket);
  EXPECT_FALSE(bare->metrics.listen);
}

TEST(Config, IsSecuredByKeyUnlessAskedOtherwise) {
  const auto settings = parse(R"({"peers": {"p": {"endpoints": ["h:1"], "key_file": "k"}},
    "tunnels": [{"name": "t", "listen": "h:0", "peer": "p", "service": "s"}]})");
  ASSERT_TRUE(settings) << to_string(settings.error());
  EXPECT_EQ(settings->peers[0].security, Security::psk);
}

TEST(Config, ResolvesPathsRelativeToItsOwnFolder) {
  constexpr std::string_view kText = R"({"control": {"socket": "c.sock"},
    "peers": {"a": {"endpoints": ["h:1"], "key_file": "a.key"},
              "b": {"endpoints": ["h:1"], "key_file": "/keys/b.key"}},
    "tunnels": [{"name": "t", "listen": "h:0", "peer": "a", "service": "s"}]})";
  const auto settings = parse(kText);
  ASSERT_TRUE(settings) << to_string(settings.error());
  EXPECT_EQ(settings->control.socket, "/etc/backedpipd/c.sock");
  EXPECT_EQ(settings->peers[0].key_file, "/etc/backedpipd/a.key");
  EXPECT_EQ(settings->peers[1].key_file, "/keys/b.key");
  const auto here = parse_settings(kText, "test.json");
  ASSERT_TRUE(here);
  EXPECT_EQ(here->peers[0].key_file, "a.key");
}

// --- Keys and types ---

TEST(Config, NamesTheNearestKnownKey) {
  expect_error(parse_with(R"("worker": 2)"),
               "/worker: found unknown key \"worker\"; did you mean \"workers\"?");
  expect_error(parse_with(R"("limits": {"max_sesions": 2})"), "did you mean \"max_sessions\"?");
  expect_error(parse_with(R"("limits": {"ReplayBuffer": 2})"), "did you mean \"replay_buffer\"?");
  expect_error(parse_with(R"("liveness": {"pign": "2s"})"), "did you mean \"ping\"?");
}

TEST(Config, ListsTheKnownKeysWhenNoneIsNear) {
  expect_error(parse_with(R"("liveness": {"interval": "2s"})"),
               "/liveness/interval: found unknown key \"interval\"; known: \"ping\", \"suspect\", "
               "\"dead\", \"application_keepalive\"");
}

TEST(Config, RefusesDuplicateKeys) {
  expect_error(parse_with(R"("workers": 1, "workers": 2)"),
               "/workers: found key \"workers\" twice in one object, first in line 1");
  expect_error(parse_with("\"limits\": {\"max_sessions\": 1,\n\"max_s\\u0065ssions\": 2}"),
               "/limits/max_sessions: found key");
  expect_error(parse(R"({"tunnels": [1, {"a": {"b": 1, "b": 2}}]})"), "/tunnels/1/a/b: found key");
}

TEST(Config, NamesBothTypes) {
  expect_error(parse_with(R"("workers": "2")"),
               "/workers: found a string (\"2\"), expected a number: a whole number from 1 to 256");
  expect_error(parse_with(R"("log": [])"), "/log: found an array, expected an object");
  expect_error(parse_with(R"("log": {"level": null})"), "found null, expected a string: one of");
  expect_error(parse_with(R"("control": {"socket": true})"),
               "found a boolean (true), expected a string");
  expect_error(parse_with(R"("limits": {"replay_buffer": {}})"),
               "found an object, expected a string: a size");
  expect_error(parse(R"({"tunnels": {}})"), "/tunnels: found an object, expected an array");
  expect_error(parse(R"({"tunnels": [7]})"), "/tunnels/0: found a number (7), expected an object");
  expect_error(parse("[]"), "found an array, expected an object");
  expect_error(parse("\"text\""), "found a string (\"text\"), expected an object");
}

TEST(Config, NamesWhatIsMissing) {
  const auto result = parse(R"({"tunnels": [{}], "peers": {"p": {}}, "accept": [{}],
                               "services": {"s": {}}, "control": {}, "metrics": {}})");
  expect_error(result, "/tunnels/0: found no \"name\"");
  expect_error(result, "/tunnels/0: found no \"listen\"");
  expect_error(result, "/tunnels/0: found no \"peer\"");
  expect_error(result, "/tunnels/0: found no \"service\"");
  expect_error(result, "/peers/p: found no \"endpoints\"");
  expect_error(result, "/peers/p: found no \"key_file\"");
  expect_error(result, "/accept/0: found no \"listen\"");
  expect_error(result, "/accept/0: found no \"key_file\"");
  expect_error(result, "/accept/0: found no \"allow\"");
  expect_error(result, "/services/s: found no \"target\"");
  expect_error(result, "/control: found no \"socket\"");
  expect_error(result, "/metrics: found no \"listen\"");
}

// --- Numbers ---

TEST(Config, RefusesCountsOutOfRange) {
  for (const char* number : {"0", "257", "-1", "1.5", "2.0", "99999999999999999999", "1e3"}) {
    expect_error(
        parse_with(std::string("\"workers\": ") + number),
        std::string("/workers: found ") + number + ", expected a whole number from 1 to 256");
  }
  EXPECT_EQ(errors_of(parse_with("\"workers\": 1")), "");
  EXPECT_EQ(errors_of(parse_with("\"workers\": 256")), "");
}

TEST(Config, WantsDeadToBeLongerThanPingAndSuspect) {
  expect_error(
      parse_with(R"("liveness": {"dead": "5s"})"),
      "/liveness/dead: found \"dead\" 5s with \"ping\" 5s, expected \"dead\" to be longer");
  expect_error(parse_with(R"("liveness": {"suspect": "20s"})"),
               "/liveness/suspect: found \"dead\" 15s");
  EXPECT_EQ(
      errors_of(parse_with(R"("liveness": {"ping": "50ms", "suspect": "30ms", "dead": "60ms"})")),
      "");
}

TEST(Config, KeepaliveOfApplicationsCanBeSwitchedOff) {
  const auto off = parse_with(R"("liveness": {"application_keepalive": "off"})");
  ASSERT_TRUE(off);
  EXPECT_FALSE(off->liveness.application_keepalive);
  const auto short_one = parse_with(R"("liveness": {"application_keepalive": "4s"})");
  ASSERT_TRUE(short_one);
  EXPECT_EQ(short_one->liveness.application_keepalive, seconds(4));
  expect_error(
      parse_with(R"("liveness": {"application_keepalive": "none"})"),
      "/liveness/application_keepalive: found \"none\", expected a duration: a whole number "
      "and ms, s, m or h, such as \"250ms\" or \"24h\", or \"off\"");
  expect_error(parse_with(R"("liveness": {"application_keepalive": "3s"})"),
               "expected a duration from 4s to 12h");
  expect_error(parse_with(R"("liveness": {"application_keepalive": 30})"), "found a number (30)");
}

TEST(Config, ReadsTheModeAsOctalDigits) {
  const auto settings = parse_with(R"("control": {"socket": "/s", "mode": "600"})");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->control.mode, 0600U);
  for (const char* mode : {"0888", "1777", "", "66", "-660", "rw-"}) {
    expect_error(parse_with(std::string(R"("control": {"socket": "/s", "mode": ")") + mode + "\"}"),
                 "/control/mode: found \"" + std::string(mode) + "\", expected octal digits");
  }
  expect_error(parse_with(R"("control": {"socket": "/s", "mode": 660})"), "found a number (660)");
}

TEST(Config, RefusesTwoSettingsThatListenOnOneAddress) {
  const auto with_listen = [](const std::string& listen) {
    return parse_with("\"metrics\": {\"listen\": \"" + listen + "\"}");
  };
  expect_error(with_listen("127.0.0.1:2222"),
               "/tunnels/0/listen: found \"127.0.0.1:2222\", expected an address that no other "
               "setting listens on; /metrics/listen has the same");
  EXPECT_EQ(errors_of(with_listen("127.0.0.1:2223")), "");
  const std::string v6 = R"({"listen": "[::1]:7", "security": "none"}, )";
  expect_error(parse_accept(v6 + R"({"listen": "[0:0::0:1]:7", "security": "none"})"),
               "/accept/0/listen has the same");
  expect_error(parse_accept(R"({"listen": "Host:7", "security": "none"},
                               {"listen": "host:7", "security": "none"})"),
               "/accept/0/listen has the same");
  EXPECT_EQ(errors_of(parse_accept(R"({"listen": "[::1]:0", "security": "none"},
                                      {"listen": "[::1]:0", "security": "none"})")),
            "");
}

TEST(Config, SaysWhyAFileCannotBeRead) {
  const auto missing = load_settings("/nonexistent/x.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(to_string(missing.error()),
            "/nonexistent/x.json: cannot open the file: No such file or directory");
  const auto folder = load_settings("/");
  ASSERT_FALSE(folder);
  EXPECT_EQ(to_string(folder.error()), "/: cannot read the file: Is a directory");
}

TEST(Config, FindsTheNearestNameOnlyWhenItIsNear) {
  const std::vector<std::string> names{"listen", "peer", "service", "name"};
  EXPECT_EQ(nearest_name("lsiten", names), "listen");
  EXPECT_EQ(nearest_name("LISTEN", names), "listen");
  EXPECT_EQ(nearest_name("servce", names), "service");
  EXPECT_EQ(nearest_name("peers", names), "peer");
  EXPECT_EQ(nearest_name("serv", std::vector<std::string>{"serve1", "service"}), "serve1");
  EXPECT_EQ(nearest_name("key", std::vector<std::string>{"allow", "key_file"}), "key_file");
  EXPECT_EQ(nearest_name("colour", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name("x", std::vector<std::string>{"y"}), std::nullopt);
}

TEST(Config, ReadsLogLevelsByName) {
  EXPECT_EQ(*parse_log_level("warning"), LogLevel::warning);
  EXPECT_FALSE(parse_log_level("warn"));
  expect_error(parse_with(R"("log": {"level": "warn"})"), "did you mean \"warning\"?");
}

}  // namespace
}  // namespace backedpipe
