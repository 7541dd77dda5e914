// The text of the configuration file: places in errors, what is not JSON, and hostile input.

#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "config/document.hpp"
#include "config_support.hpp"

namespace backedpipe {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::stringstream buffer;
  buffer << in.rdbuf();
  return buffer.str();
}

TEST(Config, NamesFileLineColumnAndPointer) {
  const auto result = parse(
      "{\n  // a comment, \"quoted\": {[\n  \"tunnels\": [\n"
      "    { \"name\": \"ssh\", /* über */ \"listen\": \"nonsense\",\n"
      "      \"peer\": \"p\", \"service\": \"s\" } ],\n"
      "  \"peers\": { \"p\": {\"endpoints\": [\"h:1\"], \"security\": "
      "\"none\"} }\n}");
  ASSERT_FALSE(result);
  EXPECT_EQ(to_string(result.error()),
            "/etc/backedpipd/test.json:4:43: /tunnels/0/listen: found \"nonsense\", expected "
            "host:port, [IPv6]:port or unix:/path; the port is missing");
}

TEST(Config, CountsColumnsInCharacters) {
  const auto result = parse("\xEF\xBB\xBF{\"tünnels\": 1, \"tunnels\": []}");
  ASSERT_FALSE(result);
  ASSERT_EQ(result.error().size(), 2U);
  EXPECT_EQ(result.error()[1].column, 2);
  EXPECT_EQ(result.error()[1].pointer, "/tünnels");
}

TEST(Config, ReportsAllErrorsInTheOrderOfTheText) {
  const auto result = parse(R"({
    "log": { "level": "loud" },
    "workers": 0,
    "liveness": { "ping": 5 },
    "tunnels": [ { "name": "a b", "listen": "h", "peer": "p" } ],
    "zzz": true
  })");
  ASSERT_FALSE(result);
  std::vector<std::string> places;
  for (const ConfigError& error : result.error()) {
    places.push_back(std::to_string(error.line) + error.pointer);
  }
  EXPECT_EQ(places, (std::vector<std::string>{"2/log/level", "3/workers", "4/liveness/ping",
                                              "5/tunnels/0", "5/tunnels/0/name",
                                              "5/tunnels/0/listen", "5/tunnels/0/peer", "6/zzz"}));
}

TEST(Config, EscapesKeysInPointers) {
  expect_error(parse_with(R"("a/b~c": 1)"), "/a~1b~0c: found unknown key \"a/b~c\"");
}

TEST(Config, KnowsThePlaceOfEveryValue) {
  const std::string text = read_file(sample("server.json"));
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  const auto document = config::parse_document(text, "f");
  ASSERT_TRUE(document);

  const auto rest_at = [&lines](config::Position place) {
    return lines.at(static_cast<std::size_t>(place.line) - 1)
        .substr(static_cast<std::size_t>(place.column) - 1);
  };
  int count = 0;
  const std::function<void(const config::Node&)> check = [&](const config::Node& node) {
    ++count;
    const std::string rest = rest_at(node.position);
    switch (node.kind) {
      case config::Node::Kind::object:
        EXPECT_EQ(rest[0], '{');
        break;
      case config::Node::Kind::array:
        EXPECT_EQ(rest[0], '[');
        break;
      case config::Node::Kind::string:
        EXPECT_EQ(rest.find('"' + node.text + '"'), 0U);
        break;
      default:
        EXPECT_EQ(rest.find(node.text), 0U);
        break;
    }
    if (!node.key.empty()) {
      EXPECT_EQ(rest_at(node.key_position).find('"' + node.key + '"'), 0U);
    }
    for (const config::Node& child : node.children)
      check(child);
  };
  check(document->root);
  EXPECT_GT(count, 30);
}

TEST(Config, ExplainsSyntaxErrorsInOneSentence) {
  const auto error = [](std::string_view text) {
    const auto result = parse_settings(text, "f");
    if (result) return std::string("accepted");
    EXPECT_EQ(result.error().size(), 1U);
    return to_string(result.error());
  };
  EXPECT_EQ(error(""),
            "f:1:1: not valid JSON: found end of input, expected '[', '{', or a literal");
  EXPECT_EQ(error("{\n  \"a\": 1,\n}"),
            "f:3:1: not valid JSON: found a comma before }; the last entry has none after it");
  EXPECT_EQ(error("{\"a\": [1, 2, /* x */ ]}"),
            "f:1:22: not valid JSON: found a comma before ]; the last entry has none after it");
  EXPECT_EQ(error("{\n\"a\": 1\n \"b\": 2}"),
            "f:3:2: not valid JSON: found string literal, expected ',' or '}'");
  EXPECT_EQ(error("{\"a\" 1}"), "f:1:6: not valid JSON: found number literal, expected ':'");
  EXPECT_EQ(error("{\"a\",}"), "f:1:5: not valid JSON: found ',', expected ':'");
  EXPECT_EQ(error("[1,,2]"), "f:1:4: not valid JSON: found ',', expected '[', '{', or a literal");
  EXPECT_EQ(
      error("{'a': 1}"),
      "f:1:2: not valid JSON: found \"'a'\", expected a value (text goes into double quotes)");
  EXPECT_EQ(
      error("{\"a\": yes}"),
      "f:1:7: not valid JSON: found \"yes\", expected a value (text goes into double quotes)");
  // Text of the file must not look like the parser's, nor reach the log unescaped.
  EXPECT_EQ(error("{\"a unexpected \x7f; b\n"),
            "f:1:2: not valid JSON: invalid string: control character U+000A (LF) must be escaped "
            "to \\u000A or \\n");
  EXPECT_EQ(error("{\"a\": 1} {"), "f:1:10: not valid JSON: found '{', expected end of input");
  EXPECT_EQ(error("{\n  \"a\": \"b\n}"),
            "f:2:8: not valid JSON: invalid string: control character U+000A (LF) must be escaped "
            "to \\u000A or \\n");
  EXPECT_EQ(error("{ /* open"), "f:1:3: not valid JSON: invalid comment; missing closing '*/'");
  EXPECT_EQ(error("{\"a\": 1e999}"), "f:1:7: not valid JSON: found a number that is too large");
  EXPECT_EQ(error("{\n\"a\": \"\xFF\"}"),
            "f:2:6: not valid JSON: invalid string: ill-formed UTF-8 byte");
  EXPECT_EQ(error(std::string_view("{}\0{}", 5)), "f:1: not valid JSON: found a zero byte");
  EXPECT_EQ(error("# comment\n{}"),
            "f:1:1: not valid JSON: found \"#\", expected a value (text goes into double quotes)");
}

TEST(Config, LimitsTheDepth) {
  const auto nested = [](std::size_t depth, const char* open) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i)
      text += open;
    return text;
  };
  expect_error(parse(nested(100'000, "[")), "nested too deeply");
  expect_error(parse(nested(100'000, "{\"a\":")), "nested too deeply");
  expect_error(parse(nested(65, "[") + nested(65, "]")), "nested too deeply");
  expect_error(parse(nested(64, "[") + nested(64, "]")), "found an array, expected an object");
}

TEST(Config, LimitsTheSize) {
  expect_error(parse(std::string(1024 * 1024 + 1, ' ')), "the file is too large");
  const auto full = parse_with("\"workers\": 1" + std::string(1024 * 1024 - 400, ' '));
  EXPECT_TRUE(full) << errors_of(full);
}

TEST(Config, LimitsTheNumberOfErrors) {
  std::string keys = "{";
  for (int i = 0; i < 50'000; ++i)
    keys += "\"k" + std::to_string(i) + "\":1,";
  const auto result = parse(keys + "\"k\":1}");
  ASSERT_FALSE(result);
  EXPECT_LT(result.error().size(), 110U);
  std::string items = "{\"tunnels\":[0";
  for (int i = 0; i < 400'000; ++i)
    items += ",0";
  const auto many = parse(items + "]}");
  ASSERT_FALSE(many);
  EXPECT_LT(many.error().size(), 110U);
  EXPECT_EQ(many.error().size(), 101U);
  EXPECT_EQ(many.error().back().message, "too many errors; there may be more than these");
}

TEST(Config, KeepsErrorsShortAndPrintable) {
  const auto long_key = parse("{\"" + std::string(500'000, 'k') + "\": 1, \"tunnels\": [1]}");
  ASSERT_FALSE(long_key);
  EXPECT_LT(to_string(long_key.error()).size(), 1000U);
  expect_error(parse_with(R"("log": {"level": "\u001b[31m\n\u0000"})"),
               R"(found "\x1b[31m\x0a\x00")");
  expect_error(parse_with(R"("control": {"socket": "/a\u0000b"})"), "without control characters");
  expect_error(parse_with(R"("metrics": {"listen": "unix:/a\u0000b"})"), "no zero byte");
}

TEST(Config, SurvivesTextThatWasCutOrChangedAnywhere) {
  const std::string text = read_file(sample("server.json"));
  ASSERT_FALSE(text.empty());
  for (std::size_t end = 0; end + 2 < text.size(); end += 7) {
    const auto result = parse_settings(std::string_view(text).substr(0, end), "f");
    ASSERT_FALSE(result) << end;
    ASSERT_FALSE(result.error().empty());
  }
  std::mt19937 random(1);
  constexpr std::string_view kBytes = "{}[],:\"\\/*0e-x \n\xC3\xFF";
  for (int i = 0; i < 2000; ++i) {
    std::string changed = text;
    for (int n = 0; n < 3; ++n)
      changed[random() % changed.size()] = kBytes[random() % kBytes.size()];
    const auto result = parse_settings(changed, "f");
    if (!result) {
      ASSERT_FALSE(result.error().empty());
      ASSERT_GE(result.error().front().line, 1) << to_string(result.error());
    }
  }
}

}  // namespace
}  // namespace backedpipe
