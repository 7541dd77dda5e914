// Requests on the control socket and their replies, and what hostile input gets.
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/id_prefix.hpp"
#include "control/request.hpp"

namespace backedpipe {
namespace {

using Json = nlohmann::json;

// A daemon of a few sessions, that notes what it was told to do.
class FakeTarget final : public ControlTarget {
 public:
  StatusSnapshot status() override {
    ++status_count;
    StatusSnapshot status;
    status.version = "1.2.3";
    status.pid = 42;
    return status;
  }
  std::vector<SessionSnapshot> sessions() override { return all; }
  std::optional<SessionSnapshot> session(const SessionId& id) override {
    for (const SessionSnapshot& session : all) {
      if (session.id == id) return session;
    }
    return std::nullopt;
  }
  ReconnectOutcome reconnect(const SessionId& id) override {
    const auto found = session(id);
    if (!found) return ReconnectOutcome::not_found;
    if (found->role == Role::server) return ReconnectOutcome::not_here;
    actions.push_back("reconnect " + to_string(id));
    return ReconnectOutcome::done;
  }
  std::size_t reconnect_all() override {
    actions.push_back("reconnect all");
    return all.size();
  }
  bool close(const SessionId& id) override {
    if (!session(id)) return false;
    actions.push_back("close " + to_string(id));
    return true;
  }
  ReloadOutcome reload() override {
    actions.emplace_back("reload");
    return {reload_problem, reload_after_restart};
  }
  DrainOutcome drain(std::optional<Duration> timeout) override {
    const auto wait = timeout.value_or(std::chrono::hours(1));
    actions.push_back("drain " + std::to_string(wait / std::chrono::milliseconds(1)));
    return {3, wait};
  }
  UpgradeOutcome upgrade() override {
    actions.emplace_back("upgrade");
    return {supervisor};
  }
  void subscribe() override { actions.push_back("subscribe"); }
  std::string log_level() override { return level; }
  bool set_log_level(const std::string& wanted) override {
    if (wanted != "debug") return false;
    level = wanted;
    return true;
  }

  SessionSnapshot& add(std::string_view id) {
    all.emplace_back().id = parse_session_id(id).value();
    return all.back();
  }

  std::vector<SessionSnapshot> all;
  std::vector<std::string> actions;
  std::optional<std::string> reload_problem;
  std::vector<std::string> reload_after_restart;
  std::optional<std::int64_t> supervisor;
  std::string level = "info";
  int status_count = 0;
};

const std::string kFirst = "aaaa0000000000000000000000000001";
const std::string kSecond = "aaaa0000000000000000000000000002";
const std::string kThird = "bbbb0000000000000000000000000003";
const std::string kNobody = "cccc0000000000000000000000000004";

class Control : public testing::Test {
 protected:
  Control() {
    SessionSnapshot& first = target_.add(kFirst);
    first.tunnel = "ssh";
    first.service = "shell";
    first.peer = "office";
    first.state = PipeState::connected;
    SessionSnapshot& second = target_.add(kSecond);
    second.tunnel = "web";
    second.service = "http";
    second.peer = "office";
    second.state = PipeState::reconnecting;
    SessionSnapshot& third = target_.add(kThird);
    third.service = "shell";
    third.role = Role::server;
    third.state = PipeState::disconnected;
  }

  // The whole reply; discarded when there is none.
  Json reply_to(std::string_view line) {
    const std::string reply = handle_request(line, target_);
    if (reply.empty()) return Json(Json::value_t::discarded);
    EXPECT_EQ(reply.find('\n'), reply.size() - 1);
    return Json::parse(reply);
  }

  Json call(const std::string& method, const std::string& params = "{}") {
    const Json reply = reply_to(R"({"jsonrpc": "2.0", "id": 7, "method": ")" + method +
                                R"(", "params": )" + params + "}");
    EXPECT_EQ(reply.at("jsonrpc"), "2.0");
    EXPECT_EQ(reply.at("id"), 7);
    EXPECT_NE(reply.contains("result"), reply.contains("error"));
    return reply;
  }
  Json result(const std::string& method, const std::string& params = "{}") {
    const Json reply = call(method, params);
    EXPECT_TRUE(reply.contains("result")) << reply;
    return reply.value("result", Json());
  }
  Json error(const std::string& method, const std::string& params = "{}") {
    const Json reply = call(method, params);
    EXPECT_TRUE(reply.contains("error")) << reply;
    return reply.value("error", Json::object());
  }
  int code(const std::string& method, const std::string& params) {
    return error(method, params).value("code", 0);
  }
  // Of a whole line that gets an error.
  int code_of(std::string_view line) {
    const Json reply = reply_to(line);
    return reply.is_object() && reply.contains("error") ? reply.at("error").value("code", 0) : 0;
  }
  std::vector<std::string> ids(const std::string& params) {
    std::vector<std::string> ids;
    for (const Json& session : result("sessions", params))
      ids.push_back(session.at("id"));
    return ids;
  }

  FakeTarget target_;
};

using Ids = std::vector<std::string>;

// -- methods ------------------------------------------------------------------------------------

TEST_F(Control, StatusDescribesTheDaemon) {
  EXPECT_EQ(result("status").at("version"), "1.2.3");
  EXPECT_EQ(result("status").at("pid"), 42);
}

TEST_F(Control, SessionsListsAllOrThoseThatMatchEveryFilter) {
  EXPECT_EQ(ids("{}"), (Ids{kFirst, kSecond, kThird}));
  EXPECT_EQ(ids(R"({"tunnel": "ssh"})"), Ids{kFirst});
  EXPECT_EQ(ids(R"({"service": "shell"})"), (Ids{kFirst, kThird}));
  EXPECT_EQ(ids(R"({"peer": "office"})"), (Ids{kFirst, kSecond}));
  EXPECT_EQ(ids(R"({"state": "disconnected"})"), Ids{kThird});
  EXPECT_EQ(ids(R"({"state": "reconnecting", "peer": "office"})"), Ids{kSecond});
  EXPECT_EQ(ids(R"({"state": "closed"})"), Ids{});
  EXPECT_EQ(ids(R"({"peer": "office", "tunnel": "office"})"), Ids{});
  EXPECT_EQ(ids(R"({"tunnel": ""})"), Ids{kThird});
}

TEST_F(Control, SessionsRefusesAFilterThatCannotBeMeant) {
  EXPECT_EQ(code("sessions", R"({"tunel": "ssh"})"), -32602);
  EXPECT_EQ(code("sessions", R"({"state": "conected"})"), -32602);
  EXPECT_EQ(code("sessions", R"({"state": 1})"), -32602);
  EXPECT_EQ(code("sessions", R"({"peer": null})"), -32602);
  EXPECT_EQ(code("sessions", R"(["ssh"])"), -32602);
  EXPECT_EQ(code("sessions", R"("ssh")"), -32602);
  EXPECT_EQ(error("sessions", R"({"tunel": "ssh"})").at("message"),
            R"(unknown parameter "tunel"; allowed: tunnel, service, peer, state)");
}

TEST_F(Control, SessionDescribesOne) {
  const Json session = result("session", R"({"id": ")" + kFirst + "\"}");
  EXPECT_EQ(session.at("id"), kFirst);
  EXPECT_EQ(session.at("tunnel"), "ssh");
}

TEST_F(Control, CloseEndsOneSession) {
  EXPECT_EQ(result("close", R"({"id": ")" + kThird + "\"}"),
            Json({{"id", kThird}, {"closed", true}}));
  EXPECT_EQ(target_.actions, Ids{"close " + kThird});
}

TEST_F(Control, ReconnectDialsForOneOrAll) {
  EXPECT_EQ(result("reconnect", R"({"id": ")" + kFirst + "\"}"),
            Json({{"id", kFirst}, {"reconnecting", 1}}));
  EXPECT_EQ(result("reconnect", R"({"all": true})"), Json({{"reconnecting", 3}}));
  EXPECT_EQ(target_.actions, (Ids{"reconnect " + kFirst, "reconnect all"}));
}

TEST_F(Control, ReconnectTakesEitherAnIdOrAll) {
  for (const char* params : {"{}", R"({"all": false})", R"({"all": 1})", R"({"all": null})",
                             R"({"id": "aaaa", "all": true})", R"({"id": "bbbb", "all": false})"})
    EXPECT_EQ(code("reconnect", params), -32602) << params;
  EXPECT_EQ(target_.actions, Ids{});
}

TEST_F(Control, ReconnectOfASessionThatWasAcceptedNamesWhoCan) {
  const Json refused = error("reconnect", R"({"id": "bbbb"})");
  EXPECT_EQ(refused.at("code"), -32006);
  EXPECT_NE(refused.at("message").get<std::string>().find("ask the daemon of its client"),
            std::string::npos);
}

TEST_F(Control, MethodsRefuseParametersThatTheyDoNotHave) {
  EXPECT_EQ(code("status", R"({"id": "aaaa"})"), -32602);
  EXPECT_EQ(code("status", "[1]"), -32602);
  EXPECT_EQ(code("session", R"({"id": "bbbb", "all": true})"), -32602);
  EXPECT_EQ(code("close", R"({"id": "bbbb", "force": true})"), -32602);
  EXPECT_EQ(target_.actions, Ids{});
}

TEST_F(Control, ParamsMayBeAbsentNullOrEmpty) {
  for (const char* params : {"", R"(, "params": null)", R"(, "params": [])", R"(, "params": {})"}) {
    const Json reply =
        reply_to(R"({"jsonrpc": "2.0", "id": 1, "method": "status")" + std::string(params) + "}");
    EXPECT_TRUE(reply.contains("result")) << params;
  }
}

// -- ids ----------------------------------------------------------------------------------------

TEST_F(Control, AnIdMayBeCutAndOfEitherCase) {
  for (const char* id : {"bbbb", "BBBB0", "bbbb00000000000000000000000000",
                         "BbBb000000000000000"
                         "0000000000003"})
    EXPECT_EQ(result("session", R"({"id": ")" + std::string(id) + "\"}").value("id", ""), kThird)
        << id;
  EXPECT_EQ(result("session", R"({"id": ")" + kSecond.substr(0, 32) + "\"}").at("id"), kSecond);
}

TEST_F(Control, AnAmbiguousIdGetsItsCandidates) {
  const Json refused = error("close", R"({"id": "aaaa"})");
  EXPECT_EQ(refused.at("code"), -32005);
  EXPECT_EQ(refused.at("data"), Json({{"candidates", {kFirst, kSecond}}}));
  EXPECT_EQ(refused.at("message"), "the ids of 2 sessions begin with aaaa: give more digits");
  EXPECT_EQ(target_.actions, Ids{});
}

TEST_F(Control, AnAmbiguousIdGetsAFewCandidatesOfMany) {
  for (char digit = '0'; digit <= '9'; ++digit)
    target_.add("dddd" + std::string(28, digit));
  const Json refused = error("session", R"({"id": "dddd"})");
  EXPECT_EQ(refused.at("data").at("candidates").size(), 8U);
  EXPECT_NE(refused.at("message").get<std::string>().find("of 10 sessions"), std::string::npos);
}

TEST_F(Control, AnUnknownIdIsNamed) {
  for (const char* method : {"session", "close", "reconnect"}) {
    for (const std::string& id : {kNobody, std::string("cccc")}) {
      const Json refused = error(method, R"({"id": ")" + id + "\"}");
      EXPECT_EQ(refused.at("code"), -32004);
      EXPECT_EQ(refused.at("message"), "no session " + id);
    }
  }
}

TEST_F(Control, WhatIsNotTheBeginningOfAnIdIsRefused) {
  for (const char* method : {"session", "close", "reconnect"}) {
    for (const char* id : {R"("")", R"("bbb")", R"("bbbg")", R"(" bbbb")", R"("0xbbbb")",
                           R"("bbbb\u0000")", R"("bbbb00000000000000000000000000033")", "17",
                           "null", "true", "[]", "{}", R"(["bbbb"])"})
      EXPECT_EQ(code(method, R"({"id": )" + std::string(id) + "}"), -32602) << method << id;
    EXPECT_EQ(code(method, "{}"), -32602);
  }
  EXPECT_EQ(target_.actions, Ids{});
}

TEST(IdPrefix, IsFourToThirtyTwoHexDigits) {
  EXPECT_FALSE(is_id_prefix("abc"));
  EXPECT_TRUE(is_id_prefix("abcD"));
  EXPECT_TRUE(is_id_prefix(std::string(32, '9')));
  EXPECT_FALSE(is_id_prefix(std::string(33, '9')));
  EXPECT_FALSE(is_id_prefix("abc\xc3"));
}

// -- JSON-RPC -----------------------------------------------------------------------------------

TEST_F(Control, TheIdComesBackAsItWasSent) {
  for (const char* id : {"0", "-1", "9223372036854775807", "18446744073709551615", R"("a\"b\\\n")",
                         R"("\u0000")", R"("é")", "null"}) {
    const Json reply =
        reply_to(R"({"method": "status", "jsonrpc": "2.0", "id": )" + std::string(id) + "}");
    EXPECT_EQ(reply.at("id"), Json::parse(id)) << id;
    EXPECT_TRUE(reply.contains("result")) << id;
  }
}

TEST_F(Control, AnIdThatWouldNotComeBackIsRefused) {
  for (const char* id : {"1.5", "1e3", "18446744073709551616", "[]", "{}", "true"}) {
    const Json reply =
        reply_to(R"({"jsonrpc": "2.0", "method": "status", "id": )" + std::string(id) + "}");
    EXPECT_EQ(reply.at("error").at("code"), -32600) << id;
    EXPECT_TRUE(reply.at("id").is_null()) << id;
  }
}

TEST_F(Control, WhatIsNotARequestGetsTheIdThatItHas) {
  for (const char* line :
       {R"({"jsonrpc": "1.0", "id": 5, "method": "status"})",
        R"({"jsonrpc": 2.0, "id": 5, "method": "status"})", R"({"id": 5, "method": "status"})",
        R"({"jsonrpc": "2.0", "id": 5})", R"({"jsonrpc": "2.0", "id": 5, "method": null})",
        R"({"jsonrpc": "2.0", "id": 5, "method": ["status"]})"}) {
    const Json reply = reply_to(line);
    EXPECT_EQ(reply.at("error").at("code"), -32600) << line;
    EXPECT_EQ(reply.at("id"), 5) << line;
  }
}

TEST_F(Control, WhatIsNoObjectIsNoRequest) {
  for (const char* line : {"null", "1", "true", R"("status")", "{}", "[]"}) {
    const Json reply = reply_to(line);
    EXPECT_EQ(reply.at("error").at("code"), -32600) << line;
    EXPECT_TRUE(reply.at("id").is_null()) << line;
  }
}

TEST_F(Control, OneSessionComesWithItsHistory) {
  target_.all[0].history.push_back({.generation = 1,
                                    .link = "[::1]:7700",
                                    .attached_at = WallTime(std::chrono::milliseconds(1)),
                                    .away = {},
                                    .detached_at = WallTime(std::chrono::milliseconds(1500)),
                                    .reason = "timed_out",
                                    .detail = "Connection timed out"});
  target_.all[0].history.push_back({.generation = 3,
                                    .link = "[::1]:7700",
                                    .attached_at = WallTime(std::chrono::milliseconds(2000)),
                                    .away = std::chrono::microseconds(500'400),
                                    .detached_at = {},
                                    .reason = {},
                                    .detail = {}});
  const Json session = result("session", R"({"id": ")" + kFirst + "\"}");
  EXPECT_EQ(
      session.at("history").dump(),
      R"([{"attached_at":"1970-01-01T00:00:00.001Z","away_s":null,"detached_at":"1970-01-01T00:00:01.500Z",)"
      R"("detail":"Connection timed out","generation":1,"link":"[::1]:7700","reason":"timed_out"},)"
      R"({"attached_at":"1970-01-01T00:00:02.000Z","away_s":0.5,"detached_at":null,)"
      R"("detail":null,"generation":3,"link":"[::1]:7700","reason":null}])");
  EXPECT_FALSE(result("sessions").at(0).contains("history"));
}

TEST_F(Control, EventsSubscribesWhoeverAsks) {
  EXPECT_EQ(result("events"), (Json{{"subscribed", true}}));
  EXPECT_EQ(target_.actions, (std::vector<std::string>{"subscribe"}));
  EXPECT_EQ(code("events", R"({"kind": "open"})"), -32602);
}

TEST_F(Control, LogLevelIsToldAndChanged) {
  EXPECT_EQ(result("log_level"), (Json{{"level", "info"}}));
  EXPECT_EQ(result("log_level", R"({"level": "debug"})"), (Json{{"level", "debug"}}));
  for (const char* wrong : {R"({"level": "loud"})", R"({"level": 1})", R"({"level": null})"})
    EXPECT_EQ(code("log_level", wrong), -32602) << wrong;
  EXPECT_EQ(result("log_level"), (Json{{"level", "debug"}}));
}

TEST_F(Control, DrainTellsHowManyAreWaitedForAndForHowLong) {
  EXPECT_EQ(result("drain"), (Json{{"draining", true}, {"sessions", 3}, {"timeout_s", 3600.0}}));
  EXPECT_EQ(result("drain", R"({"timeout_s": 0.5})").at("timeout_s"), 0.5);
  EXPECT_EQ(target_.actions, (std::vector<std::string>{"drain 3600000", "drain 500"}));
  for (const char* wrong : {R"({"timeout_s": -1})", R"({"timeout_s": "10m"})",
                            R"({"timeout_s": 1e300})", R"({"timeout": 1})"})
    EXPECT_EQ(code("drain", wrong), -32602) << wrong;
}

TEST_F(Control, UpgradeNamesTheSupervisorOrSaysThatThereIsNone) {
  const Json refused = error("upgrade");
  EXPECT_EQ(refused.at("code"), -32009);
  EXPECT_NE(std::string(refused.at("message")).find("systemctl restart backedpipd"),
            std::string::npos);
  target_.supervisor = 17;
  EXPECT_EQ(result("upgrade"), (Json{{"upgrading", true}, {"supervisor", 17}}));
  EXPECT_EQ(code("upgrade", R"({"now": true})"), -32602);
  EXPECT_EQ(target_.actions, (std::vector<std::string>{"upgrade", "upgrade"}));
}

TEST_F(Control, ReloadTellsWhatNeedsARestart) {
  EXPECT_EQ(result("reload"), (Json{{"reloaded", true}, {"after_restart", Json::array()}}));
  target_.reload_after_restart = {"workers", "log.format"};
  EXPECT_EQ(result("reload").at("after_restart"), (Json{"workers", "log.format"}));
}

TEST_F(Control, AnUnknownMethodIsToldTheKnownOnes) {
  const Json refused = error("explode");
  EXPECT_EQ(refused.at("code"), -32601);
  EXPECT_EQ(refused.at("message"),
            "no method \"explode\"; there are: status, sessions, session, reconnect, close, "
            "reload, drain, stop, upgrade, events, log_level");
  for (const char* method : {"", "Status", "status ", "rpc.discover"})
    EXPECT_EQ(code(method, "{}"), -32601) << method;
}

TEST_F(Control, ALongNameIsQuotedInPartAndNotCutInsideACharacter) {
  std::string name = "x";
  for (int i = 0; i < 1000; ++i)
    name += "é";
  const std::string message = error(name).at("message");
  EXPECT_EQ(message.substr(0, 78), "no method \"" + name.substr(0, 63) + "...\"");
}

TEST_F(Control, TextThatIsNotJsonIsAParseError) {
  for (const char* line : {"this is not json", "{", "}", "[1,", "\"", R"({"jsonrpc": "2.0",})",
                           "{'a': 1}", "nul", "01", "1 2", "{} {}", "// comment"})
    EXPECT_EQ(code_of(line), -32700) << line;
}

TEST_F(Control, BlankLinesGetNothing) {
  for (const char* line : {"", " ", "\t \r"})
    EXPECT_EQ(handle_request(line, target_), "");
}

TEST_F(Control, NotificationsAreCarriedOutAndGetNoReply) {
  EXPECT_EQ(
      handle_request(R"({"jsonrpc": "2.0", "method": "close", "params": {"id": "bbbb"}})", target_),
      "");
  EXPECT_EQ(target_.actions, Ids{"close " + kThird});
  for (const char* line : {R"({"jsonrpc": "2.0", "method": "explode"})",
                           R"({"jsonrpc": "2.0", "method": "close", "params": {"id": 1}})",
                           R"({"jsonrpc": "2.0", "method": "close", "params": {"id": "cccc"}})"})
    EXPECT_EQ(handle_request(line, target_), "") << line;
}

// -- batches ------------------------------------------------------------------------------------

TEST_F(Control, ABatchIsAnsweredInOrderWithoutItsNotifications) {
  const Json replies = reply_to(R"([
    {"jsonrpc": "2.0", "id": 1, "method": "status"},
    {"jsonrpc": "2.0", "method": "close", "params": {"id": "bbbb"}},
    7,
    {"jsonrpc": "2.0", "id": "x", "method": "explode"},
    [{"jsonrpc": "2.0", "id": 2, "method": "status"}]])");
  ASSERT_EQ(replies.size(), 4U) << replies;
  EXPECT_EQ(replies[0].at("id"), 1);
  EXPECT_TRUE(replies[0].contains("result"));
  EXPECT_EQ(replies[1].at("error").at("code"), -32600);
  EXPECT_EQ(replies[2].at("id"), "x");
  EXPECT_EQ(replies[2].at("error").at("code"), -32601);
  EXPECT_EQ(replies[3].at("error").at("code"), -32600);
  EXPECT_EQ(target_.actions, Ids{"close " + kThird});
}

TEST_F(Control, ABatchOfNotificationsGetsNothing) {
  EXPECT_EQ(handle_request(R"([{"jsonrpc": "2.0", "method": "status"},
                               {"jsonrpc": "2.0", "method": "status"}])",
                           target_),
            "");
  EXPECT_EQ(target_.status_count, 2);
}

std::string batch_of(std::size_t count, const std::string& request) {
  std::string batch = "[";
  for (std::size_t i = 0; i < count; ++i)
    batch += (i == 0 ? "" : ",") + request;
  return batch + "]";
}

TEST_F(Control, ABatchIsCarriedOutUpToItsLimitAndNotAtAllBeyond) {
  const std::string request = R"({"jsonrpc":"2.0","id":1,"method":"status"})";
  EXPECT_EQ(reply_to(batch_of(kMaxBatchRequests, request)).size(), kMaxBatchRequests);
  EXPECT_EQ(target_.status_count, static_cast<int>(kMaxBatchRequests));
  EXPECT_EQ(code_of(batch_of(kMaxBatchRequests + 1, request)), -32600);
  EXPECT_EQ(target_.status_count, static_cast<int>(kMaxBatchRequests));
}

TEST_F(Control, ABatchWhoseRepliesAreTooLargeIsStopped) {
  for (SessionSnapshot& session : target_.all)
    session.last_error = std::string(kMaxBatchReplyBytes / 4, 'x');
  const std::string list = R"({"jsonrpc":"2.0","id":1,"method":"sessions"},)";
  const std::string rest = R"({"jsonrpc":"2.0","id":"late","method":"close","params":{"id":"bbbb"}},
    {"jsonrpc":"2.0","method":"close","params":{"id":"bbbb"}}, 5)";
  const Json replies = reply_to("[" + list + list + rest + "]");
  ASSERT_EQ(replies.size(), 4U);
  EXPECT_TRUE(replies[1].contains("result"));
  EXPECT_EQ(replies[2].at("id"), "late");
  EXPECT_EQ(replies[2].at("error").at("code"), -32007);
  EXPECT_TRUE(replies[3].contains("error"));
  EXPECT_EQ(target_.actions, Ids{});
}

// -- hostile input ------------------------------------------------------------------------------

TEST_F(Control, ARequestOverTheLimitIsRefusedUnread) {
  const std::string request = R"({"jsonrpc": "2.0", "id": 1, "method": "status"})";
  const std::string padding(kMaxRequestBytes - request.size(), ' ');
  EXPECT_TRUE(reply_to(request + padding).contains("result"));
  EXPECT_EQ(handle_request(request + padding + ' ', target_), overlong_request_reply());
  EXPECT_EQ(Json::parse(overlong_request_reply()).at("error").at("code"), -32600);
}

TEST_F(Control, DeepNestingIsRefused) {
  const auto nested = [](std::size_t depth, const std::string& open, const std::string& end) {
    std::string text = R"({"jsonrpc": "2.0", "id": 1, "method": "status", "extra": )";
    for (std::size_t i = 1; i < depth; ++i)
      text += open;
    text += "0";
    for (std::size_t i = 1; i < depth; ++i)
      text += end;
    return text + "}";
  };
  EXPECT_TRUE(reply_to(nested(kMaxRequestDepth, "[", "]")).contains("result"));
  EXPECT_EQ(code_of(nested(kMaxRequestDepth + 1, "[", "]")), -32600);
  EXPECT_EQ(code_of(nested(kMaxRequestDepth + 1, R"({"a":)", "}")), -32600);
  EXPECT_EQ(code_of(std::string(kMaxRequestBytes, '[')), -32600);
  EXPECT_EQ(code_of(std::string(kMaxRequestBytes, '{')), -32600);
}

TEST_F(Control, BracketsInsideStringsAreNoNesting) {
  const std::string brackets(100, '[');
  EXPECT_EQ(code(brackets, "{}"), -32601);
  EXPECT_EQ(code("\\\"" + brackets + "\\\\", "{}"), -32601);
}

TEST_F(Control, NumbersTooLargeForAnyTypeAreRefused) {
  const std::string head = R"({"jsonrpc": "2.0", "method": "status", "id": )";
  EXPECT_EQ(code_of(head + "1e400}"), -32700);
  EXPECT_EQ(code_of(head + "-1e99999999999}"), -32700);
  EXPECT_EQ(code_of(head + std::string(60'000, '9') + "}"), -32700);
  EXPECT_EQ(code_of(head + std::string(300, '9') + "}"), -32600);
}

TEST_F(Control, InvalidUtf8IsAParseError) {
  for (const char* bytes : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"})
    EXPECT_EQ(code_of(R"({"jsonrpc": "2.0", "id": 1, "method": ")" + std::string(bytes) + "\"}"),
              -32700)
        << bytes;
  EXPECT_EQ(code_of(R"({"jsonrpc": "2.0", "id": 1, "method": "\ud800"})"), -32700);
}

TEST_F(Control, ANulAnywhereIsAParseError) {
  const std::string request = R"({"jsonrpc": "2.0", "id": 1, "method": "status"})";
  for (std::size_t at = 0; at <= request.size(); ++at) {
    std::string line = request;
    line.insert(at, 1, '\0');
    EXPECT_EQ(code_of(line), -32700) << at;
  }
  EXPECT_EQ(code_of(request + std::string("\0junk", 5)), -32700);
  EXPECT_EQ(target_.status_count, 0);
}

TEST_F(Control, EveryTruncationOfARequestIsAParseError) {
  const std::string request =
      R"({"jsonrpc": "2.0", "id": "a\u00e9", "method": "close", "params": {"id": "bbbb"}})";
  for (std::size_t length = 1; length < request.size(); ++length)
    EXPECT_EQ(code_of(request.substr(0, length)), -32700) << length;
  EXPECT_EQ(target_.actions, Ids{});
  EXPECT_TRUE(reply_to(request).contains("result"));
}

// Checks only the form: every reply is one line of valid JSON, and has a result or an error.
TEST_F(Control, DamagedRequestsGetWellFormedReplies) {
  const std::string request =
      R"([{"jsonrpc": "2.0", "id": 1, "method": "reconnect", "params": {"id": "aaaa"}}])";
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string line = request;
    for (unsigned edits = 1 + random() % 4; edits > 0; --edits) {
      const std::size_t at = random() % line.size();
      switch (random() % 3) {
        case 0:
          line[at] = static_cast<char>(random());
          break;
        case 1:
          line.insert(at, line.substr(random() % line.size(), random() % 8));
          break;
        default:
          line.erase(at, 1);
          break;
      }
    }
    const Json reply = reply_to(line);
    if (reply.is_discarded()) continue;  // the damage made it a notification
    const Json& one = reply.is_array() ? reply.at(0) : reply;
    ASSERT_NE(one.contains("result"), one.contains("error")) << line;
  }
}

}  // namespace
}  // namespace backedpipe
