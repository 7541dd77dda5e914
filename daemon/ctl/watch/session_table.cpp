#include "daemon/ctl/watch/session_table.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

enum class Align { left, right };

struct Column {
  std::string_view title;
  std::string_view sorted_by;  // the field, see SortKey
  unsigned rank;               // a column of lower rank gets room first
  std::size_t width;           // at least
  Align align;
  bool stretches;    // takes room that the others leave, if it needs it
  bool only_if_any;  // left out when no session has the field
  std::string (*cell)(const Json& session, WallTime now);
};

std::string word(const Json& session, const char* key) {
  return visible(text(session, key));
}

std::string age_word(const Json& session, const char* key, WallTime now) {
  const auto passed = age(session, key, now);
  return passed ? human_age(*passed) : std::string();
}

std::string size_word(const Json& session, const char* key) {
  const Json& value = field(session, key);
  return value.is_number() ? compact_size(value.get<double>()) : std::string();
}

using S = const Json&;

// From left to right. The columns of rank 1 to 10 fill a width of 80.
constexpr std::array kColumns{
    Column{"ID", "id", 2, 8, Align::left, false, false,
           [](S s, WallTime) { return word(s, "id").substr(0, 8); }},
    Column{"STATE", "state", 1, 12, Align::left, false, false,
           [](S s, WallTime) { return visible(state_word(s)); }},
    Column{"FOR", "state_since", 6, 6, Align::right, false, false,
           [](S s, WallTime now) { return age_word(s, "state_since", now); }},
    Column{"AGE", "created_at", 12, 7, Align::right, false, false,
           [](S s, WallTime now) { return age_word(s, "created_at", now); }},
    Column{"TUNNEL", "tunnel", 13, 8, Align::left, true, true,
           [](S s, WallTime) { return word(s, "tunnel"); }},
    Column{"SERVICE", "service", 3, 8, Align::left, true, false,
           [](S s, WallTime) { return word(s, "service"); }},
    Column{"PEER", "peer", 10, 12, Align::left, true, false,
           [](S s, WallTime) { return word(s, "peer"); }},
    Column{"IDENTITY", "identity", 17, 8, Align::left, true, true,
           [](S s, WallTime) { return word(s, "identity"); }},
    Column{"GEN", "generation", 9, 4, Align::right, false, false,
           [](S s, WallTime) { return std::to_string(count(s, "generation")); }},
    Column{"RECONN", "reconnects", 16, 6, Align::right, false, false,
           [](S s, WallTime) { return std::to_string(count(s, "reconnects")); }},
    Column{"IN/S", "in_per_s", 4, 5, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "in_per_s"); }},
    Column{"OUT/S", "out_per_s", 5, 5, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "out_per_s"); }},
    Column{"IN", "bytes_in", 14, 5, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "bytes_in"); }},
    Column{"OUT", "bytes_out", 15, 5, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "bytes_out"); }},
    Column{"UNACK", "unacked", 8, 5, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "unacked"); }},
    Column{"BUFFER", "buffered", 11, 6, Align::right, false, false,
           [](S s, WallTime) { return size_word(s, "buffered"); }},
    Column{"RTT", "rtt_ms", 7, 6, Align::right, false, false,
           [](S s, WallTime) {
             const Json& value = field(s, "rtt_ms");
             return value.is_number() ? compact_milliseconds(value.get<double>()) : std::string();
           }},
    Column{"APPLICATION", "application", 19, 15, Align::left, true, true,
           [](S s, WallTime) { return word(s, "application"); }},
    Column{"LINK", "link", 18, 15, Align::left, true, false,
           [](S s, WallTime) { return word(s, "link"); }},
    // Once a session is connected again, its last error no longer matters.
    Column{"LAST ERROR", "last_error", 20, 12, Align::left, true, true,
           [](S s, WallTime) {
             return text(s, "state") == "connected" ? std::string() : word(s, "last_error");
           }},
};

constexpr std::size_t kGap = 1;

// Where a column is on the screen; nothing if there is no room for it.
struct Place {
  std::size_t at = 0;
  std::size_t width = 0;
};

using Cells = std::array<std::string, kColumns.size()>;
using Places = std::array<std::optional<Place>, kColumns.size()>;

std::array<std::size_t, kColumns.size()> by_rank() {
  std::array<std::size_t, kColumns.size()> order{};
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(),
            [](std::size_t a, std::size_t b) { return kColumns[a].rank < kColumns[b].rank; });
  return order;
}

// Gives each column one cell at a time, so that a long name does not take all the room.
void stretch(Places& places, const std::vector<Cells>& rows, std::size_t left) {
  std::array<std::size_t, kColumns.size()> wanted{};
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    if (!places[i] || !kColumns[i].stretches) continue;
    for (const Cells& cells : rows)
      wanted[i] = std::max(wanted[i], display_width(cells[i]));
  }
  for (bool more = true; more && left > 0;) {
    more = false;
    for (std::size_t i = 0; i < kColumns.size() && left > 0; ++i) {
      if (!places[i] || places[i]->width >= wanted[i]) continue;
      ++places[i]->width;
      --left;
      more = true;
    }
  }
}

Places divide(const std::vector<Cells>& rows, std::size_t columns) {
  Places places;
  const auto order = by_rank();
  std::size_t used = 0;
  for (const std::size_t i : order) {
    const bool any = std::any_of(rows.begin(), rows.end(),
                                 [i](const Cells& cells) { return !cells[i].empty(); });
    if (kColumns[i].only_if_any && !any) continue;
    const std::size_t needed = kColumns[i].width + (used == 0 ? 0 : kGap);
    if (used + needed > columns) break;
    used += needed;
    places[i] = Place{0, kColumns[i].width};
  }
  stretch(places, rows, columns - used);
  std::size_t at = 0;
  for (std::optional<Place>& place : places) {
    if (!place) continue;
    place->at = at;
    at += place->width + kGap;
  }
  return places;
}

Span in_place(const Place& place, std::string_view cell, Align align, Style style) {
  std::string text = fit(cell, place.width);
  const std::size_t padding = place.width - display_width(text);
  return {place.at + (align == Align::right ? padding : 0), std::move(text), style};
}

Style style_of_state(const Json& session) {
  const std::string state = state_word(session);
  if (state == "connected") return Style::good;
  return state == "suspect" ? Style::doubtful : Style::bad;
}

}  // namespace

std::vector<Line> session_table(const WatchModel& model, Page page, std::size_t columns,
                                WallTime now) {
  std::vector<Cells> rows(page.count);
  for (std::size_t row = 0; row < page.count; ++row) {
    for (std::size_t i = 0; i < kColumns.size(); ++i)
      rows[row][i] = kColumns[i].cell(model.sessions()[page.first + row], now);
  }
  const Places places = divide(rows, columns);

  std::vector<Line> lines(1 + page.count);
  const std::string bar(columns, ' ');
  lines[0].push_back({0, bar, Style::title});
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    if (!places[i]) continue;
    const bool sorted = kColumns[i].sorted_by == model.sort().field;
    lines[0].push_back(in_place(*places[i], kColumns[i].title, kColumns[i].align,
                                sorted ? Style::sorted_title : Style::title));
  }
  for (std::size_t row = 0; row < page.count; ++row) {
    Line& line = lines[1 + row];
    const bool selected = model.selected() == page.first + row;
    if (selected) line.push_back({0, bar, Style::selected});
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      if (!places[i]) continue;
      Style style = selected ? Style::selected : Style::plain;
      if (!selected && kColumns[i].title == "STATE") {
        style = style_of_state(model.sessions()[page.first + row]);
      }
      const std::string_view cell = rows[row][i];
      line.push_back(in_place(*places[i], cell.empty() ? "-" : cell, kColumns[i].align, style));
    }
  }
  return lines;
}

}  // namespace backedpipe::ctl
