// The live view of backedpipctl without a terminal: what it knows, and how it looks at any size.
#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/ctl/text.hpp"
#include "daemon/ctl/watch/layout.hpp"
#include "daemon/ctl/watch/model.hpp"

namespace backedpipe::ctl {
namespace {

using namespace std::chrono_literals;
using Move = WatchModel::Move;

const WallTime kNow = parse_timestamp("2024-03-01T12:00:00.000Z").value();
const WatchModel::Time kStart{};

Json session(const std::string& id, std::uint64_t bytes_in = 0) {
  return Json::parse(R"({"id": ")" + id + R"(", "role": "client", "tunnel": "ssh",
    "service": "shell", "peer": "office", "identity": "laptop", "state": "connected",
    "generation": 3, "reconnects": 2, "created_at": "2024-02-28T12:00:00.000Z",
    "state_since": "2024-03-01T11:56:48.000Z", "application": "127.0.0.1:40000",
    "link": "192.0.2.1:7700", "bytes_in": )" +
                     std::to_string(bytes_in) + R"(, "bytes_out": 1048576, "unacked": 7,
    "buffered": 1031, "window": 262144, "rtt_ms": 12.345, "last_error": null,
    "suspect": false})");
}

Json status_with(std::uint64_t bytes_in) {
  return Json::parse(R"({"version": "1.2.3", "pid": 42, "instance": "gw",
    "uptime_s": 7500, "sessions": {"connected": 2, "disconnected": 0, "reconnecting": 1},
    "tunnels": [], "listeners": [],
    "peers": [{"name": "home", "endpoints": ["c:3"], "security": "psk", "state": "up",
               "last_error": "was refused", "next_attempt": null, "sessions": 1, "waiting": 0,
               "dialling": 0, "dials": 1},
              {"name": "office", "endpoints": ["a:1", "b:2"], "security": "psk",
               "state": "down", "last_error": "cannot connect to 192.0.2.1:7700: refused",
               "next_attempt": "2024-03-01T12:00:01.500Z", "sessions": 3, "waiting": 3,
               "dialling": 0, "dials": 17}],
    "totals": {"sessions_opened": 5, "sessions_ended": 2, "attaches": 5, "bytes_in": )" +
                     std::to_string(bytes_in) + R"(, "bytes_out": 0, "replayed_bytes": 10,
               "handshakes_failed": 1, "segments_in_use": 2, "segment_bytes": 16384,
               "memory_limit": 2147483648}})");
}

WatchModel model_by(std::string_view key) {
  return {*find_sort_key(key), false};
}

std::vector<std::string> ids(const WatchModel& model) {
  std::vector<std::string> list;
  for (const Json& session : model.sessions())
    list.push_back(text(session, "id"));
  return list;
}

using Ids = std::vector<std::string>;

// -- model --------------------------------------------------------------------------------------

TEST(WatchModel, MeasuresRatesFromOnePictureToTheNext) {
  WatchModel model = model_by("id");
  model.update(status_with(100), Json::array({session("a", 1000)}), kStart + 1s);
  EXPECT_FALSE(model.rates().in);
  EXPECT_TRUE(model.sessions()[0]["in_per_s"].is_null());
  model.update(status_with(600), Json::array({session("a", 4000), session("b", 9)}),
               kStart + 1500ms);
  EXPECT_EQ(model.rates().in, 1000.0);
  EXPECT_EQ(model.rates().out, 0.0);
  EXPECT_EQ(model.sessions()[0]["in_per_s"], 6000.0);
  EXPECT_EQ(model.sessions()[0]["out_per_s"], 0.0);
  EXPECT_TRUE(model.sessions()[1]["in_per_s"].is_null());
}

TEST(WatchModel, MeasuresNoRateAcrossARestartOfTheDaemon) {
  for (const auto& [key, value] : {std::pair<const char*, Json>{"pid", 43}, {"instance", "new"}}) {
    WatchModel model = model_by("id");
    model.update(status_with(100), Json::array(), kStart + 1s);
    Json restarted = status_with(200);
    restarted[key] = value;
    model.update(restarted, Json::array(), kStart + 2s);
    EXPECT_FALSE(model.rates().in) << key;
  }
}

TEST(WatchModel, MeasuresNoRateOfWhatShrinksOrTakesNoTime) {
  WatchModel model = model_by("id");
  model.update(status_with(100), Json::array({session("a", 1000)}), kStart + 1s);
  model.update(status_with(99), Json::array({session("a", 999)}), kStart + 2s);
  EXPECT_FALSE(model.rates().in);
  EXPECT_TRUE(model.sessions()[0]["in_per_s"].is_null());
  model.update(status_with(200), Json::array({session("a", 2000)}), kStart + 2s);
  EXPECT_FALSE(model.rates().in);
}

TEST(WatchModel, KeepsTheLastPictureWhileTheDaemonIsAway) {
  WatchModel model = model_by("id");
  model.update(status_with(0), Json::array({session("a")}), kStart);
  model.lose("Connection refused");
  ASSERT_NE(model.problem(), nullptr);
  EXPECT_EQ(*model.problem(), "Connection refused");
  EXPECT_EQ(ids(model), Ids{"a"});
  model.update(status_with(0), Json::array({session("b")}), kStart + 1s);
  EXPECT_EQ(model.problem(), nullptr);
  EXPECT_EQ(ids(model), Ids{"b"});
}

TEST(WatchModel, SortsByTheKeyThatIsPressed) {
  WatchModel model = model_by("id");
  Json young = session("young", 10), old = session("old", 20);
  young["created_at"] = "2024-02-29T12:00:00.000Z";
  young["unacked"] = 8;
  model.update(status_with(0), Json::array({young, old}), kStart);
  EXPECT_EQ(ids(model), (Ids{"old", "young"}));
  model.press('u');  // sizes: the largest first
  EXPECT_EQ(ids(model), (Ids{"young", "old"}));
  model.press('u');
  EXPECT_EQ(ids(model), (Ids{"old", "young"}));
  model.press('a');  // ages: the oldest first
  EXPECT_EQ(ids(model), (Ids{"old", "young"}));
  model.press('r');
  EXPECT_EQ(ids(model), (Ids{"young", "old"}));
  model.press('z');
  EXPECT_EQ(ids(model), (Ids{"young", "old"}));
  EXPECT_EQ(model.sort().name, "age");

  model.press('i');
  young["bytes_in"] = 1000U;
  model.update(status_with(0), Json::array({old, young}), kStart + 1s);
  EXPECT_EQ(ids(model), (Ids{"young", "old"}));
  old["bytes_in"] = 5000U;
  model.update(status_with(0), Json::array({young, old}), kStart + 2s);
  EXPECT_EQ(ids(model), (Ids{"old", "young"}));
}

TEST(WatchModel, HasADifferentLetterForEachSort) {
  std::string letters = "rq";
  for (const SortChoice& choice : sort_choices()) {
    EXPECT_EQ(letters.find(choice.letter), std::string::npos) << choice.letter;
    letters += choice.letter;
  }
}

TEST(WatchModel, MovesTheSelectionWithinTheSessions) {
  WatchModel model = model_by("id");
  model.select(Move::down, 10);
  EXPECT_EQ(model.selected(), std::nullopt);  // there is nothing to select
  Json sessions = Json::array();
  for (const char id : std::string("abcdefgh"))
    sessions.push_back(session(std::string(1, id)));
  model.update(status_with(0), sessions, kStart);
  EXPECT_EQ(model.selected(), std::nullopt);
  model.select(Move::down, 3);
  EXPECT_EQ(model.selected(), 0U);
  model.select(Move::up, 3);
  EXPECT_EQ(model.selected(), 0U);
  model.select(Move::down, 3);
  EXPECT_EQ(model.selected(), 1U);
  model.select(Move::page_down, 3);
  EXPECT_EQ(model.selected(), 4U);
  model.select(Move::page_up, 3);
  EXPECT_EQ(model.selected(), 1U);
  model.select(Move::page_up, 3);
  EXPECT_EQ(model.selected(), 0U);
  model.select(Move::last, 3);
  EXPECT_EQ(model.selected(), 7U);
  model.select(Move::down, 3);
  model.select(Move::page_down, 3);
  EXPECT_EQ(model.selected(), 7U);
  model.select(Move::first, 3);
  EXPECT_EQ(model.selected(), 0U);
}

TEST(WatchModel, KeepsTheSelectionAtItsSessionAndElseAtItsPlace) {
  WatchModel model = model_by("id");
  model.update(status_with(0), Json::array({session("a"), session("b"), session("c")}), kStart);
  model.select(Move::first, 1);
  model.select(Move::down, 1);
  model.update(status_with(0), Json::array({session("b"), session("c")}), kStart + 1s);
  EXPECT_EQ(model.selected(), 0U);  // b
  model.update(status_with(0), Json::array({session("c")}), kStart + 2s);
  EXPECT_EQ(model.selected(), 0U);  // b has ended: now c, which keeps it
  model.update(status_with(0), Json::array({session("a"), session("c")}), kStart + 3s);
  EXPECT_EQ(model.selected(), 1U);
  model.press('r');
  EXPECT_EQ(model.selected(), 0U);
  model.update(status_with(0), Json::array(), kStart + 4s);
  EXPECT_EQ(model.selected(), std::nullopt);
}

// -- layout -------------------------------------------------------------------------------------

// What a terminal would show: later spans cover earlier ones.
std::vector<std::string> picture(const std::vector<Line>& lines) {
  std::vector<std::string> rows;
  for (const Line& line : lines) {
    std::vector<std::string> cells;
    for (const Span& span : line) {
      std::size_t column = span.column;
      std::string_view rest = span.text;
      while (!rest.empty()) {
        std::size_t length = 1;
        while (length < rest.size() && (static_cast<unsigned char>(rest[length]) & 0xC0U) == 0x80U)
          ++length;
        const std::string character(rest.substr(0, length));
        rest.remove_prefix(length);
        const std::size_t width = display_width(character);
        if (cells.size() < column + width) cells.resize(column + width, " ");
        for (std::size_t i = 0; i < width; ++i)
          cells[column + i] = i == 0 ? character : "";
        column += width;
      }
    }
    std::string row;
    for (const std::string& cell : cells)
      row += cell;
    row.resize(row.find_last_not_of(' ') + 1);
    rows.push_back(row);
  }
  return rows;
}

std::string page(const WatchModel& model, ScreenSize size) {
  std::string text;
  for (const std::string& row : picture(lay_out(model, size, kNow)))
    text += row + "\n";
  return text;
}

WatchModel three_sessions() {
  WatchModel model = model_by("id");
  Json away = session("fedcba98765432100123456789abcdef", 1536);
  away["state"] = "reconnecting";
  away["link"] = nullptr;
  away["rtt_ms"] = nullptr;
  away["last_error"] = "Connection timed out";
  Json doubtful = session("aaaaaaaa765432100123456789abcdef");
  doubtful["suspect"] = true;
  Json fast = session("0123456789abcdef0123456789abcdef");
  model.update(status_with(0), Json::array({away, doubtful, fast}), kStart);
  fast["bytes_in"] = 3U << 20U;
  model.update(status_with(3 << 20), Json::array({away, doubtful, fast}), kStart + 2s);
  return model;
}

TEST(WatchLayout, FillsAPlainTerminal) {
  WatchModel model = three_sessions();
  model.select(Move::last, 1);
  EXPECT_EQ(page(model, {80, 24}),
            R"(backedpipd 1.2.3, pid 42, up 2h5m
sessions   2 connected, 0 disconnected, 1 reconnecting; 5 opened so far
traffic    1.5 MiB/s in, 0 B/s out; so far 3 MiB in, 0 B out
buffers    32 KiB of 2 GiB; 10 B replayed

PEER    STATE   SESSIONS WAITING  NEXT TRY  LAST ERROR
office  down           3       3  in 2s     cannot connect to 192.0.2.1:7700: r…
home    up             1       0

3 sessions, by id
ID       STATE           FOR SERVICE  PEER          GEN  IN/S OUT/S UNACK    RTT
01234567 connected     3m12s shell    office          3  1.5M     0     7 12.3ms
aaaaaaaa suspect       3m12s shell    office          3     0     0     7 12.3ms
fedcba98 reconnecting  3m12s shell    office          3     0     0     7      -




session fedcba98765432100123456789abcdef, client, generation 3, identity laptop
tunnel ssh, service shell, peer office, application 127.0.0.1:40000
2 reconnects, 1.5 KiB in, 1 MiB out, 1 KiB buffered
opened 2d ago, last error: Connection timed out
q quit  arrows select  r reverse  sort by:  a age  f for  s state  t tunnel
v service  p peer  i in/s  o out/s  u unacked  b buffered  l rtt  g generation
)");
}

TEST(WatchLayout, ShowsMoreColumnsWhereThereIsRoom) {
  const std::vector<std::string> rows = picture(lay_out(three_sessions(), {200, 24}, kNow));
  ASSERT_GT(rows.size(), 13U);
  EXPECT_EQ(rows[10],
            "ID       STATE           FOR     AGE TUNNEL   SERVICE  PEER         IDENTITY  GEN "
            "RECONN  IN/S OUT/S    IN   OUT UNACK BUFFER    RTT APPLICATION     LINK            "
            "LAST ERROR");
  EXPECT_EQ(rows[11],
            "01234567 connected     3m12s      2d ssh      shell    office       laptop      3     "
            " 2  1.5M     0    3M    1M     7     1K 12.3ms 127.0.0.1:40000 192.0.2.1:7700  -");
  EXPECT_EQ(rows[13],
            "fedcba98 reconnecting  3m12s      2d ssh      shell    office       laptop      3     "
            " 2     0     0  1.5K    1M     7     1K      - 127.0.0.1:40000 -               "
            "Connection timed out");
}

TEST(WatchLayout, LeavesOutWhatHasNoRoomButKeepsTheStates) {
  WatchModel model = three_sessions();
  model.select(Move::first, 1);
  EXPECT_EQ(page(model, {40, 6}),
            "backedpipd 1.2.3, pid 42, up 2h5m\n"
            "\n"
            "ID       STATE        SERVICE   IN/S\n"
            "01234567 connected    shell     1.5M\n"
            "aaaaaaaa suspect      shell        0\n"
            "fedcba98 reconnecting shell        0\n");
  EXPECT_EQ(page(model, {12, 4}),
            "backedpipd …\n"
            "\n"
            "STATE\n"
            "connected\n");
}

TEST(WatchLayout, FillsTheWidthInAFixedOrderOfColumns) {
  // Six more than the first ten columns need: too few for the next, though not for those after it.
  const std::vector<std::string> rows = picture(lay_out(three_sessions(), {86, 24}, kNow));
  EXPECT_EQ(rows[10],
            "ID       STATE           FOR SERVICE  PEER          GEN  IN/S OUT/S UNACK    RTT");
}

TEST(WatchLayout, SaysThatTheDaemonIsDraining) {
  WatchModel model = model_by("id");
  Json status = status_with(0);
  status["draining"] = true;
  model.update(status, Json::array(), kStart);
  EXPECT_EQ(picture(lay_out(model, {80, 24}, kNow))[0],
            "backedpipd 1.2.3, pid 42, up 2h5m, draining");
  status["draining"] = false;
  model.update(status, Json::array(), kStart + 1s);
  EXPECT_EQ(picture(lay_out(model, {80, 24}, kNow))[0], "backedpipd 1.2.3, pid 42, up 2h5m");
}

TEST(WatchLayout, StaysWithinAScreenOfAnySize) {
  WatchModel model = three_sessions();
  Json sessions = model.sessions();
  Json status = status_with(0);
  for (int i = 0; i < 30; ++i) {
    sessions.push_back(session("session" + std::to_string(i)));
    status["peers"].push_back(status["peers"][0]);
  }
  sessions[0]["service"] = sessions[1]["peer"] = sessions[2]["last_error"] =
      "漢字é\n\x1b[2J\xff" + std::string(300, 'x');
  status["peers"][0]["name"] = sessions[0]["service"];
  status["peers"][1]["last_error"] = sessions[0]["service"];
  model.update(status, sessions, kStart + 1s);
  for (const bool reachable : {true, false}) {
    if (!reachable) model.lose(std::string(300, 'y') + "\n");
    for (const Move move : {Move::first, Move::last, Move::page_up}) {
      model.select(move, 7);
      for (const std::size_t columns :
           {0, 1, 2, 11, 12, 13, 20, 40, 79, 80, 81, 89, 132, 200, 400}) {
        for (const std::size_t rows : {0, 1, 2, 3, 9, 10, 13, 14, 15, 16, 19, 20, 24, 50, 100}) {
          const std::vector<Line> lines = lay_out(model, {columns, rows}, kNow);
          ASSERT_LE(lines.size(), rows);
          for (const Line& line : lines) {
            for (const Span& span : line) {
              ASSERT_LE(span.column + display_width(span.text), columns)
                  << span.text << " at " << columns << "x" << rows;
              ASSERT_EQ(span.text, visible(span.text));
            }
          }
        }
      }
    }
  }
}

TEST(WatchLayout, KeepsColumnsInPlaceUnderLongAndWideNames) {
  WatchModel model = model_by("id");
  Json odd = session("0123456789abcdef0123456789abcdef");
  odd["service"] = "漢字漢字漢字";
  odd["peer"] = "a-peer-with-a-very-long-name.example.org";
  model.update(status_with(0), Json::array({odd, session("1123456789abcdef")}), kStart);
  const std::vector<std::string> rows = picture(lay_out(model, {80, 24}, kNow));
  EXPECT_EQ(rows[11],
            "01234567 connected     3m12s 漢字漢…  a-peer-with…    3     -     -     7 12.3ms");
  EXPECT_EQ(rows[12],
            "11234567 connected     3m12s shell    office          3     -     -     7 12.3ms");
  // Where there is room, they have it.
  const std::string wide = page(model, {250, 24});
  EXPECT_NE(wide.find(" 漢字漢字漢字 a-peer-with-a-very-long-name.example.org "), std::string::npos)
      << wide;
}

TEST(WatchLayout, ShowsThePageOfTheSelectedSession) {
  WatchModel model = model_by("id");
  Json sessions = Json::array();
  for (int i = 100; i < 130; ++i)
    sessions.push_back(session(std::to_string(i) + "-"));
  model.update(status_with(0), sessions, kStart);
  constexpr ScreenSize kSize{80, 16};
  ASSERT_EQ(session_rows(model, kSize), 3U);
  EXPECT_NE(page(model, kSize).find("sessions 1 to 3 of 30, by id\n"), std::string::npos);
  model.select(Move::first, 3);
  model.select(Move::page_down, 3);
  model.select(Move::down, 3);
  std::string text = page(model, kSize);
  EXPECT_NE(text.find("sessions 4 to 6 of 30, by id\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("102-"), std::string::npos) << text;
  EXPECT_NE(text.find("\n103-"), std::string::npos) << text;
  EXPECT_NE(text.find("\n105-"), std::string::npos) << text;
  EXPECT_EQ(text.find("106-"), std::string::npos) << text;
  model.select(Move::last, 3);
  model.press('d');  // no such key
  text = page(model, kSize);
  EXPECT_NE(text.find("sessions 28 to 30 of 30, by id\n"), std::string::npos) << text;
  model.press('r');
  EXPECT_NE(page(model, kSize).find("sessions 1 to 3 of 30, by id, descending\n"),
            std::string::npos);
}

// The style of the last span that has this text.
Style style_of(const std::vector<Line>& lines, std::string_view text) {
  Style style = Style::plain;
  bool found = false;
  for (const Line& line : lines) {
    for (const Span& span : line) {
      if (span.text != text) continue;
      style = span.style;
      found = true;
    }
  }
  EXPECT_TRUE(found) << text;
  return style;
}

TEST(WatchLayout, GivesStatesTheirStyle) {
  WatchModel model = three_sessions();
  std::vector<Line> lines = lay_out(model, {80, 24}, kNow);
  EXPECT_EQ(style_of(lines, "connected"), Style::good);
  EXPECT_EQ(style_of(lines, "suspect"), Style::doubtful);
  EXPECT_EQ(style_of(lines, "reconnecting"), Style::bad);
  EXPECT_EQ(style_of(lines, "up"), Style::good);
  EXPECT_EQ(style_of(lines, "down"), Style::bad);
  EXPECT_EQ(style_of(lines, "ID"), Style::sorted_title);
  EXPECT_EQ(style_of(lines, "RTT"), Style::title);
  model.press('l');
  model.select(Move::last, 1);
  lines = lay_out(model, {80, 24}, kNow);
  EXPECT_EQ(style_of(lines, "ID"), Style::title);
  EXPECT_EQ(style_of(lines, "RTT"), Style::sorted_title);
  EXPECT_EQ(style_of(lines, "reconnecting"), Style::selected);
}

TEST(WatchLayout, SaysThatTheDaemonIsAwayAndThatTheRestIsOfThePast) {
  WatchModel model = three_sessions();
  model.lose("Connection refused");
  const std::vector<Line> lines = lay_out(model, {80, 24}, kNow);
  EXPECT_EQ(picture(lines)[0], "daemon not reachable, trying again: Connection refused");
  EXPECT_EQ(lines[0][0].style, Style::bad);
  EXPECT_EQ(style_of(lines, "connected"), Style::faint);
  EXPECT_EQ(style_of(lines, "down"), Style::faint);
}

TEST(WatchLayout, SaysWhenAPeerIsTriedNext) {
  const auto row = [](const char* next, unsigned dialling) {
    Json status = status_with(0);
    status["peers"][1]["next_attempt"] = next;
    status["peers"][1]["dialling"] = dialling;
    WatchModel model = model_by("id");
    model.update(status, Json::array(), kStart);
    return picture(lay_out(model, {80, 24}, kNow))[6].substr(0, 43);
  };
  EXPECT_EQ(row("2024-03-01T12:00:01.000Z", 0), "office  down           3       3  in 1s    ");
  EXPECT_EQ(row("2024-03-01T12:00:00.001Z", 0), "office  down           3       3  in 1s    ");
  EXPECT_EQ(row("2024-03-01T12:00:00.000Z", 0), "office  down           3       3  now      ");
  EXPECT_EQ(row("2024-03-01T12:00:09.000Z", 1), "office  down           3       3  under way");
}

TEST(WatchLayout, ShowsPeersThatAreDownFirstAndHowManyMoreThereAre) {
  Json status = status_with(0);
  for (int i = 0; i < 9; ++i)
    status["peers"].insert(status["peers"].begin(), status["peers"].back());
  WatchModel model = model_by("id");
  // Ten that are down, and one that is up.
  model.update(status, Json::array(), kStart);
  const auto lines = picture(lay_out(model, {80, 24}, kNow));
  EXPECT_EQ(lines[6].substr(0, 12), "office  down");
  EXPECT_EQ(lines[8].substr(0, 12), "office  down");
  EXPECT_EQ(lines[9], "and 8 more");
  EXPECT_EQ(lines[11], "no sessions");
  const std::string tall = page(model, {80, 60});
  EXPECT_NE(tall.find("\nhome    up  "), std::string::npos) << tall;
  EXPECT_EQ(tall.find("more"), std::string::npos) << tall;
}

TEST(WatchLayout, CopesWithAnythingThatIsJson) {
  const Json whole = session("0123456789abcdef0123456789abcdef");
  for (const char* text : {"null", "1", "-1", "1e300", "true", R"("")", R"("\u001b[2J\n")", "[]",
                           "[[]]", "[1, null]", "{}", R"({"a": {}})"}) {
    const Json odd = Json::parse(text);
    Json changed = whole;
    for (const auto& item : whole.items())
      changed[item.key()] = odd;
    Json status = Json::object();
    for (const char* name : {"version", "pid", "uptime_s", "sessions", "peers", "totals"})
      status[name] = odd;
    WatchModel model = model_by("in");
    for (const Json& sessions : {odd, Json::array({odd, changed, whole})}) {
      for (int second = 0; second < 2; ++second) {
        model.update(status, sessions, kStart + std::chrono::seconds(second));
        model.select(Move::last, 1);
        for (const SortChoice& choice : sort_choices())
          model.press(choice.letter);
        const std::string shown = page(model, {200, 50});
        EXPECT_EQ(shown.find('\x1b'), std::string::npos);
        EXPECT_EQ(shown.find("\npid"), std::string::npos);
      }
    }
  }
}

}  // namespace
}  // namespace backedpipe::ctl
