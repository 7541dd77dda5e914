// What backedpipctl shows to people: texts, tables and views.
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "daemon/ctl/table.hpp"
#include "daemon/ctl/text.hpp"
#include "daemon/ctl/views.hpp"

namespace backedpipe::ctl {
namespace {

using namespace std::chrono_literals;

// -- texts --------------------------------------------------------------------------------------

TEST(Visible, LeavesTextAlone) {
  for (const char* text : {"", "plain", "naïve — 漢字 😀", "a\\b \"c\" ~"})
    EXPECT_EQ(visible(text), text);
}

TEST(Visible, EscapesWhatCouldMoveTheCursorOrForgeALine) {
  EXPECT_EQ(visible("a\nb\r\t"), "a\\x0ab\\x0d\\x09");
  EXPECT_EQ(visible("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
  EXPECT_EQ(visible(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(visible("\xc2\x9b"), "\\xc2\\x9b");             // CSI of C1
  EXPECT_EQ(visible("\xe2\x80\xae"), "\\xe2\\x80\\xae");    // right-to-left override
  EXPECT_EQ(visible("\xe2\x80\xa8x"), "\\xe2\\x80\\xa8x");  // line separator
}

TEST(Visible, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(visible("\xff"), "\\xff");
  EXPECT_EQ(visible("\xc3"), "\\xc3");
  EXPECT_EQ(visible("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(visible("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(visible("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(visible("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(visible("\xc3é"), "\\xc3é");
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width(""), 0U);
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("naïve"), 5U);
  EXPECT_EQ(display_width("nai\xcc\x88ve"), 5U);  // the two dots as a character of their own
  EXPECT_EQ(display_width("漢字"), 4U);
  EXPECT_EQ(display_width("😀"), 2U);
}

TEST(Fit, CutsWithAnEllipsisAndNeverThroughACharacter) {
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdef", 5), "abcd…");
  EXPECT_EQ(fit("abcdef", 1), "…");
  EXPECT_EQ(fit("abcdef", 0), "");
  EXPECT_EQ(fit("漢字漢字", 8), "漢字漢字");
  EXPECT_EQ(fit("漢字漢字", 7), "漢字漢…");
  EXPECT_EQ(fit("漢字漢字", 6), "漢字…");
  EXPECT_EQ(fit("e\xcc\x81tude", 4), "e\xcc\x81tu…");
}

TEST(CompactSize, HasAtMostFiveColumns) {
  for (const auto& [size, text] : {std::pair<double, const char*>{0, "0"},
                                   {-1, "0"},
                                   {1023, "1023"},
                                   {1023.6, "1K"},
                                   {1536, "1.5K"},
                                   {99.9 * 1024, "99.9K"},
                                   {100.4 * 1024, "100K"},
                                   {1023.0 * 1024, "1023K"},
                                   {1048575, "1M"},
                                   {64.0 * 1024 * 1024, "64M"},
                                   {1.8446744073709552e19, "16E"}})
    EXPECT_EQ(compact_size(size), text);
}

TEST(CompactMilliseconds, HasAtMostSixColumns) {
  for (const auto& [milliseconds, text] : {std::pair{0.0, "0.00ms"},
                                           {0.2134, "0.21ms"},
                                           {9.994, "9.99ms"},
                                           {9.996, "10ms"},
                                           {12.34, "12.3ms"},
                                           {99.96, "100ms"},
                                           {999.4, "999ms"},
                                           {999.6, "1s"},
                                           {1540.0, "1.5s"},
                                           {123456.0, "123s"}})
    EXPECT_EQ(compact_milliseconds(milliseconds), text);
}

TEST(HumanSize, UsesTheLargestUnitWithOneDecimal) {
  constexpr std::uint64_t kKiB = 1024;
  for (const auto& [size, text] : {std::pair<std::uint64_t, const char*>{0, "0 B"},
                                   {1, "1 B"},
                                   {1023, "1023 B"},
                                   {kKiB, "1 KiB"},
                                   {1536, "1.5 KiB"},
                                   {64 * kKiB, "64 KiB"},
                                   {kKiB * kKiB - 1, "1 MiB"},
                                   {kKiB * kKiB, "1 MiB"},
                                   {kKiB * kKiB + kKiB * 200, "1.2 MiB"},
                                   {2 * kKiB * kKiB * kKiB, "2 GiB"},
                                   {std::numeric_limits<std::uint64_t>::max(), "16 EiB"}})
    EXPECT_EQ(human_size(size), text);
}

TEST(HumanAge, UsesTheTwoLargestUnits) {
  for (const auto& [age, text] : {std::pair<std::chrono::seconds, const char*>{0s, "0s"},
                                  {59s, "59s"},
                                  {60s, "1m"},
                                  {192s, "3m12s"},
                                  {3600s, "1h"},
                                  {3601s, "1h"},
                                  {7500s, "2h5m"},
                                  {24h, "1d"},
                                  {24h * 4 + 7h + 59min, "4d7h"},
                                  {24h * 4 + 59min, "4d"},
                                  {-5s, "0s"},
                                  {std::chrono::seconds::min(), "0s"},
                                  {std::chrono::seconds::max(), "106751991167300d15h"}})
    EXPECT_EQ(human_age(age), text);
}

TEST(HumanMilliseconds, FitsThePrecisionToTheSize) {
  for (const auto& [milliseconds, text] : {std::pair{0.0, "0.000 ms"},
                                           {0.2134, "0.213 ms"},
                                           {1.0, "1 ms"},
                                           {12.34, "12.3 ms"},
                                           {1500.0, "1.5 s"},
                                           {5000.0, "5 s"}})
    EXPECT_EQ(human_milliseconds(milliseconds), text);
}

TEST(Counted, AgreesWithTheNumber) {
  EXPECT_EQ(counted(0, "session"), "0 sessions");
  EXPECT_EQ(counted(1, "session"), "1 session");
  EXPECT_EQ(counted(2, "session"), "2 sessions");
}

TEST(ParseTimestamp, ReadsWhatTheSocketWrites) {
  const auto time = parse_timestamp("2024-02-29T23:59:59.999Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(time->time_since_epoch(), 1'709'251'199'999ms);
  EXPECT_EQ(parse_timestamp("1969-12-31T23:59:59.999Z")->time_since_epoch(), -1ms);
}

TEST(ParseTimestamp, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2024-02-29", "2023-02-29T00:00:00.000Z", "2024-13-01T00:00:00.000Z",
        "2024-00-01T00:00:00.000Z", "2024-01-01T24:00:00.000Z", "2024-01-01T00:60:00.000Z",
        "2024-01-01T00:00:60.000Z", "2024-01-01 00:00:00.000Z", "2024-01-01T00:00:00.000z",
        "2024-01-01T00:00:00.000+00:00", "0000-01-01T00:00:00.000Z", "9999-01-01T00:00:00.000Z",
        "-024-01-01T00:00:00.000Z", "2024-01-01T00:00:00.0000Z"})
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
}

// -- tables -------------------------------------------------------------------------------------

using Align = Table::Align;
using Show = Table::Show;

TEST(Table, AlignsColumnsWithoutTrailingSpaces) {
  Table table({{"NAME"}, {"N", Align::right}, {"LAST"}});
  table.add_row({"a", "12345", "x"});
  table.add_row({"longer", "1", "yyyyyyy"});
  EXPECT_EQ(table.render(),
            "NAME        N  LAST\n"
            "a       12345  x\n"
            "longer      1  yyyyyyy\n");
}

TEST(Table, AlignsCharactersOfSeveralBytes) {
  Table table({{"A"}, {"B"}});
  table.add_row({"é漢", "1"});
  table.add_row({"abc", "2"});
  EXPECT_EQ(table.render(), "A    B\né漢  1\nabc  2\n");
}

TEST(Table, ShowsAnEmptyCellAsADash) {
  Table table({{"A"}, {"B", Align::right}, {"C"}});
  table.add_row({"", "22"});
  EXPECT_EQ(table.render(), "A   B  C\n-  22  -\n");
}

TEST(Table, LeavesOutAColumnThatNobodyFills) {
  Table table({{"A"}, {"B", Align::left, Show::if_any}, {"C", Align::left, Show::if_any}});
  table.add_row({"1", "", ""});
  table.add_row({"2", "", "x"});
  EXPECT_EQ(table.render(), "A  C\n1  -\n2  x\n");
  EXPECT_EQ(table.render(1), "A\n1\nand 1 more\n");
}

TEST(Table, WithoutRowsIsItsHeader) {
  EXPECT_EQ(Table({{"A"}, {"B"}, {"C", Align::left, Show::if_any}}).render(), "A  B\n");
}

TEST(Table, SaysHowManyRowsItLeavesOut) {
  Table table({{"A"}});
  for (const char* cell : {"1", "2", "a wide one"})
    table.add_row({cell});
  EXPECT_EQ(table.render(3), "A\n1\n2\na wide one\n");
  EXPECT_EQ(table.render(2), "A\n1\n2\nand 1 more\n");
  EXPECT_EQ(table.render(0), "A\nand 3 more\n");
}

TEST(Table, MakesItsCellsHarmless) {
  Table table({{"A"}, {"B"}});
  table.add_row({"x\ny\x1b", "z", "one too many"});
  EXPECT_EQ(table.render(), "A           B\nx\\x0ay\\x1b  z\n");
}

// -- views --------------------------------------------------------------------------------------

WallTime at(std::string_view time) {
  return parse_timestamp(time).value();
}

const WallTime kNow = at("2024-03-01T12:00:00.000Z");

Json session(const std::string& id) {
  return Json::parse(R"({"id": ")" + id + R"(", "role": "client", "tunnel": "ssh",
    "service": "shell", "peer": "office", "identity": "laptop", "state": "connected",
    "generation": 3, "reconnects": 2, "created_at": "2024-02-28T12:00:00.000Z",
    "state_since": "2024-03-01T11:56:48.000Z", "application": "127.0.0.1:40000",
    "link": "192.0.2.1:7700", "bytes_in": 1536, "bytes_out": 1048576, "unacked": 7,
    "buffered": 1031, "window": 262144, "rtt_ms": 12.345, "last_error": "timed out",
    "suspect": false})");
}

TEST(SessionsView, IsATableWithALineForEach) {
  Json second = session("fedcba98765432100123456789abcdef");
  second["state"] = "reconnecting";
  second["rtt_ms"] = nullptr;
  const Json list = Json::array({session("0123456789abcdef0123456789abcdef"), second});
  EXPECT_EQ(render_sessions(list, kNow),
            "ID        STATE         SINCE  TUNNEL  SERVICE  PEER    AGE       IN    OUT  UNACKED  "
            "    RTT  RECONNECTS  LAST ERROR\n"
            "01234567  connected     3m12s  ssh     shell    office   2d  1.5 KiB  1 MiB      7 B  "
            "12.3 ms           2  -\n"
            "fedcba98  reconnecting  3m12s  ssh     shell    office   2d  1.5 KiB  1 MiB      7 B  "
            "      -           2  timed out\n");
}

TEST(SessionsView, SaysThatThereAreNone) {
  EXPECT_EQ(render_sessions(Json::array(), kNow), "no sessions\n");
  EXPECT_EQ(render_sessions(Json(nullptr), kNow), "no sessions\n");
}

TEST(SessionsView, MakesIdsAsLongAsTheyNeedToDiffer) {
  const auto shown_ids = [](const Json& list) {
    const std::string table = render_sessions(list, kNow);
    const std::size_t row = table.find('\n') + 1;
    return table.substr(row, table.find(' ', row) - row);
  };
  const std::string zeros(32, '0');
  EXPECT_EQ(shown_ids(Json::array({session(zeros)})), "00000000");
  std::string other = zeros;
  other[10] = '1';
  EXPECT_EQ(shown_ids(Json::array({session(zeros), session(other)})), "00000000000");
  other = zeros;
  other[31] = '1';
  EXPECT_EQ(
      shown_ids(Json::array({session(zeros), session(zeros.substr(0, 30) + "10"), session(other)})),
      zeros);
  EXPECT_EQ(shown_ids(Json::array({session(zeros), session(zeros)})), zeros);
}

TEST(SessionsView, TellsALinkThatOwesAnAnswer) {
  Json doubtful = session("0123456789abcdef0123456789abcdef");
  doubtful["suspect"] = true;
  EXPECT_NE(render_sessions(Json::array({doubtful}), kNow).find("  suspect  "), std::string::npos);
}

TEST(SessionView, TellsEverythingAboutOne) {
  EXPECT_EQ(render_session(session("0123456789abcdef0123456789abcdef"), kNow),
            "id           0123456789abcdef0123456789abcdef\n"
            "role         client\n"
            "tunnel       ssh\n"
            "service      shell\n"
            "peer         office\n"
            "identity     laptop\n"
            "state        connected since 2024-03-01T11:56:48.000Z (3m12s ago)\n"
            "created      2024-02-28T12:00:00.000Z (2d ago)\n"
            "application  127.0.0.1:40000\n"
            "link         192.0.2.1:7700\n"
            "generation   3\n"
            "reconnects   2\n"
            "in           1.5 KiB to the application\n"
            "out          1 MiB from the application, 7 B unacknowledged\n"
            "buffered     1 KiB\n"
            "window       256 KiB\n"
            "round trip   12.3 ms\n"
            "last error   timed out\n");
}

TEST(SessionsView, CountsWholeSecondsOnlyWhenTheyHavePassed) {
  Json young = session("0123456789abcdef0123456789abcdef");
  young["created_at"] = "2024-03-01T11:59:58.900Z";
  young["state_since"] = "2024-03-01T11:59:59.900Z";
  const auto page = [&](std::string_view now) {
    return render_sessions(Json::array({young}), at(now));
  };
  EXPECT_NE(page("2024-03-01T12:00:00.100Z").find("connected     0s"), std::string::npos);
  EXPECT_NE(page("2024-03-01T12:00:00.899Z").find("office   1s"), std::string::npos);
  EXPECT_NE(page("2024-03-01T12:00:00.900Z").find("office   2s"), std::string::npos);
}

TEST(SessionView, TakesAnyTimeThatItCanRead) {
  Json odd = session("0123456789abcdef0123456789abcdef");
  odd["created_at"] = "1700-01-01T00:00:00.000Z";
  odd["state_since"] = "2200-12-31T23:59:59.999Z";
  const std::string page = render_session(odd, at("2200-01-01T00:00:00.000Z"));
  EXPECT_NE(page.find("(182621d ago)"), std::string::npos) << page;
  EXPECT_NE(page.find("(0s ago)"), std::string::npos) << page;
}

TEST(StatusView, FitsTheDaemonOnAPage) {
  const Json status = Json::parse(R"({"version": "1.2.3", "pid": 42, "instance": "gw",
    "uptime_s": 7500, "sessions": {"connected": 2, "disconnected": 0, "reconnecting": 1},
    "tunnels": [{"name": "ssh", "listen": "127.0.0.1:2222", "peer": "office",
                 "service": "shell", "sessions": 3}],
    "peers": [{"name": "office", "endpoints": ["a:1", "b:2"], "security": "psk",
               "state": "down", "last_error": "refused",
               "next_attempt": "2024-03-01T12:00:01.000Z", "sessions": 3, "waiting": 3,
               "dialling": 0, "dials": 17}],
    "listeners": [{"listen": "[::]:7700", "security": "none", "handshakes": 1, "sessions": 0}],
    "totals": {"sessions_opened": 1, "sessions_ended": 0, "attaches": 5, "bytes_in": 1024,
               "bytes_out": 0, "replayed_bytes": 10, "handshakes_failed": 1,
               "segments_in_use": 2, "segment_bytes": 16384, "memory_limit": 2147483648}})");
  EXPECT_EQ(
      render_status(status),
      "daemon       backedpipd 1.2.3, pid 42, up 2h5m\n"
      "instance     gw\n"
      "sessions     2 connected, 0 disconnected, 1 reconnecting\n"
      "since start  1 session opened, 0 ended; 5 links attached, 1 failed handshake\n"
      "traffic      1 KiB to applications, 0 B from them, 10 B replayed\n"
      "memory       32 KiB of 2 GiB in buffers\n"
      "\n"
      "TUNNEL  LISTEN          PEER    SERVICE  SESSIONS\n"
      "ssh     127.0.0.1:2222  office  shell           3\n"
      "\n"
      "PEER    STATE  ENDPOINTS  SECURITY  SESSIONS  WAITING  NEXT ATTEMPT              LAST "
      "ERROR\n"
      "office  down   a:1, b:2   psk              3        3  2024-03-01T12:00:01.000Z  refused\n"
      "\n"
      "LISTENER   SECURITY  HANDSHAKES  SESSIONS\n"
      "[::]:7700  none               1         0\n");
}

TEST(StatusView, SaysWhetherSessionsOutliveTheDaemon) {
  const auto page = [](const char* continuity) {
    const Json status = {{"started_at", "2024-03-01T11:00:00.000Z"},
                         {"continuity", Json::parse(continuity)}};
    return render_status(status);
  };
  std::string text = page(R"({"kept": true, "why_not": null, "since": "2024-02-28T12:00:00.000Z",
    "restarts": 3, "restored": 7, "lost": 1, "not_kept": 0})");
  EXPECT_NE(text.find("up 0s since 2024-03-01T11:00:00.000Z\n"), std::string::npos) << text;
  EXPECT_NE(text.find("continuity   sessions outlive the daemon; 3 restarts since "
                      "2024-02-28T12:00:00.000Z, 7 sessions restored, 1 lost\n"),
            std::string::npos)
      << text;
  text = page(R"({"kept": true, "restarts": 0, "restored": 0, "lost": 0, "not_kept": 2})");
  EXPECT_NE(text.find("0 lost; but 2 of the present sessions end with the daemon: see the log\n"),
            std::string::npos)
      << text;
  text = page(R"({"kept": false, "why_not": "nobody keeps them", "not_kept": 2})");
  EXPECT_NE(text.find("continuity   sessions end with the daemon: nobody keeps them\n"),
            std::string::npos)
      << text;
}

TEST(SessionView, ShowsWhichProcessHasContinuedIt) {
  Json restored = session("0123456789abcdef0123456789abcdef");
  restored["restores"] = 2U;
  restored["kept"] = true;
  restored["history"] = Json::parse(R"([{"restored": 2, "time": "2024-03-01T11:00:00.000Z"},
    {"generation": 4, "link": "192.0.2.1:7700", "attached_at": "2024-03-01T11:00:01.000Z",
     "away_s": 1, "detached_at": null, "reason": null, "detail": null}])");
  const std::string page = render_session(restored, kNow);
  EXPECT_NE(page.find("restores     2\n"), std::string::npos) << page;
  EXPECT_NE(page.find("kept         yes: it outlives the daemon\n"), std::string::npos) << page;
  const auto link = page.find("2024-03-01T11:00:01.000Z  -         192.0.2.1:7700");
  const auto process = page.find(
      "2024-03-01T11:00:00.000Z  -         -               a new process of the daemon has "
      "continued the session (restart 2)\n");
  ASSERT_NE(link, std::string::npos) << page;
  ASSERT_NE(process, std::string::npos) << page;
  EXPECT_LT(link, process) << "the newest comes first";
  restored["kept"] = false;
  EXPECT_NE(render_session(restored, kNow).find("kept         no: it ends with the daemon\n"),
            std::string::npos);
}

TEST(StatusView, SaysThatAnAttemptAtAPeerIsUnderWay) {
  const Json status = Json::parse(R"({"peers": [{"name": "office", "endpoints": ["a:1"],
    "security": "psk", "state": "down", "last_error": "refused",
    "next_attempt": "2024-03-01T12:00:01.000Z", "sessions": 3, "waiting": 2, "dialling": 1}]})");
  const std::string page = render_status(status);
  EXPECT_NE(page.find("3        2  under way     refused\n"), std::string::npos) << page;
}

TEST(StatusView, KeepsQuietAboutThePastOfAPeerThatIsUp) {
  const Json status = Json::parse(R"({"peers": [{"name": "office", "endpoints": ["a:1"],
    "security": "psk", "state": "up", "last_error": "refused", "next_attempt": null,
    "sessions": 3, "waiting": 0, "dialling": 3}]})");
  const std::string page = render_status(status);
  EXPECT_NE(page.find("PEER    STATE  ENDPOINTS  SECURITY  SESSIONS\n"), std::string::npos) << page;
  EXPECT_EQ(page.find("refused"), std::string::npos) << page;
}

TEST(StatusView, ShowsTheBeginningOfLongLists) {
  Json status = Json::object();
  for (int i = 0; i < 7; ++i)
    status["tunnels"].push_back({{"name", "t" + std::to_string(i)}});
  const std::string page = render_status(status);
  EXPECT_NE(page.find("\nt4 "), std::string::npos) << page;
  EXPECT_EQ(page.find("\nt5 "), std::string::npos) << page;
  EXPECT_NE(page.find("\nand 2 more\n"), std::string::npos) << page;
}

TEST(Views, CopeWithAnythingThatIsJson) {
  const Json whole = session("0123456789abcdef0123456789abcdef");
  for (const char* text : {"null", "1", "-1", "1e300", "true", R"("")", R"("\u001b[2J\n")", "[]",
                           "[[]]", "[1, null]", "{}", R"({"a": {}})"}) {
    const Json odd = Json::parse(text);
    Json changed = whole;
    Json status = Json::object();
    for (const auto& item : whole.items())
      changed[item.key()] = odd;
    for (const char* name :
         {"version", "pid", "uptime_s", "sessions", "tunnels", "peers", "listeners", "totals"})
      status[name] = odd;
    for (const std::string& page :
         {render_status(odd), render_status(status), render_sessions(odd, kNow),
          render_sessions(Json::array({odd, changed}), kNow), render_session(odd, kNow),
          render_session(changed, kNow)}) {
      EXPECT_FALSE(page.empty());
      EXPECT_EQ(page.find('\x1b'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace backedpipe::ctl
