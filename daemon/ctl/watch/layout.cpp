#include "daemon/ctl/watch/layout.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "daemon/ctl/text.hpp"
#include "daemon/ctl/watch/session_table.hpp"

namespace backedpipe::ctl {
namespace {

// On a screen with fewer rows than these, the parts are left out in favour of the sessions.
constexpr std::size_t kRowsForDetail = 20;
constexpr std::size_t kRowsForPeers = 16;
constexpr std::size_t kRowsForTotals = 14;
constexpr std::size_t kRowsForKeys = 10;
// The most columns for a peer's name, so that its last error has room.
constexpr std::size_t kLongestName = 20;

using Lines = std::vector<Line>;

void append(Lines& lines, Lines more) {
  std::move(more.begin(), more.end(), std::back_inserter(lines));
}

class Painter {
 public:
  explicit Painter(std::size_t columns) : columns_(columns) {}

  Line line(std::string_view text, Style style = Style::plain) const {
    return {{0, fit(visible(text), columns_), style}};
  }
  // "name       text"
  Line fact(std::string_view name, std::string_view text) const {
    Line line;
    put(line, 0, name, Style::faint);
    put(line, 11, text, Style::plain);
    return line;
  }
  void put(Line& line, std::size_t column, std::string_view text, Style style) const {
    if (column < columns_) line.push_back({column, fit(visible(text), columns_ - column), style});
  }

 private:
  std::size_t columns_;
};

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) {
    if (item.empty()) continue;
    text += text.empty() ? "" : ", ";
    text += item;
  }
  return text;
}

// "" for an unknown value, so that joined() leaves it out.
std::string named(std::string_view name, const std::string& value) {
  return value.empty() ? value : std::string(name) + " " + value;
}

std::string size(const Json& object, const char* key) {
  return human_size(count(object, key));
}

std::string speed(const std::optional<double>& bytes_per_s) {
  if (!bytes_per_s) return "?";
  return human_size(static_cast<std::uint64_t>(*bytes_per_s)) + "/s";
}

Lines header(const WatchModel& model, ScreenSize screen) {
  const Painter painter(screen.columns);
  const Json& status = model.status();
  Lines lines;
  if (const std::string* problem = model.problem()) {
    lines.push_back(painter.line("daemon not reachable, trying again: " + *problem, Style::bad));
  } else {
    const bool draining = field(status, "draining") == Json(true);
    const std::chrono::seconds up(static_cast<std::int64_t>(count(status, "uptime_s")));
    lines.push_back(painter.line("backedpipd " + text(status, "version") + ", pid " +
                                     std::to_string(count(status, "pid")) + ", up " +
                                     human_age(up) + (draining ? ", draining" : ""),
                                 Style::strong));
  }
  if (screen.rows < kRowsForTotals) return lines;
  const Json& sessions = field(status, "sessions");
  const Json& totals = field(status, "totals");
  const auto number = [](const Json& object, const char* key) {
    return std::to_string(count(object, key));
  };
  lines.push_back(
      painter.fact("sessions", number(sessions, "connected") + " connected, " +
                                   number(sessions, "disconnected") + " disconnected, " +
                                   number(sessions, "reconnecting") + " reconnecting; " +
                                   number(totals, "sessions_opened") + " opened so far"));
  lines.push_back(painter.fact(
      "traffic", speed(model.rates().in) + " in, " + speed(model.rates().out) + " out; so far " +
                     size(totals, "bytes_in") + " in, " + size(totals, "bytes_out") + " out"));
  lines.push_back(painter.fact(
      "buffers", human_size(count(totals, "segments_in_use") * count(totals, "segment_bytes")) +
                     " of " + size(totals, "memory_limit") + "; " + size(totals, "replayed_bytes") +
                     " replayed"));
  return lines;
}

std::string next_try(const Json& peer, WallTime now) {
  if (text(peer, "state") != "down") return {};
  if (count(peer, "dialling") > 0) return "under way";
  const auto passed = age(peer, "next_attempt", now);
  if (!passed) return {};
  return passed->count() >= 0 ? "now" : "in " + human_age(-*passed);
}

Style style_of_peer(const Json& peer) {
  const std::string state = text(peer, "state");
  if (state == "up") return Style::good;
  return state == "down" ? Style::bad : Style::plain;
}

// Peers that are down come first, because they matter most.
Lines peers(const WatchModel& model, ScreenSize screen, WallTime now) {
  const Json& listed = field(model.status(), "peers");
  if (!listed.is_array() || listed.empty() || screen.rows < kRowsForPeers) return {};
  std::vector<const Json*> order;
  for (const Json& peer : listed)
    order.push_back(&peer);
  std::stable_partition(order.begin(), order.end(),
                        [](const Json* peer) { return text(*peer, "state") == "down"; });
  const std::size_t room = 2 + (screen.rows - kRowsForPeers) / 4;
  // "and 1 more" would take the room of that one peer.
  const std::size_t shown = order.size() <= room ? order.size() : room - 1;

  const Painter painter(screen.columns);
  std::size_t name = 4;
  for (const Json& peer : listed)
    name = std::max(name, display_width(visible(text(peer, "name"))));
  name = std::min(name, kLongestName);
  const std::size_t state = name + 2;
  const std::size_t sessions = state + 8;
  const std::size_t waiting = sessions + 9;
  const std::size_t next = waiting + 9;
  const std::size_t error = next + 10;
  const auto right_aligned = [](std::uint64_t number, std::size_t columns) {
    const std::string digits = std::to_string(number);
    return std::string(columns - std::min(columns, digits.size()), ' ') + digits;
  };
  Lines lines(1);
  Line title;
  const std::string bar(screen.columns, ' ');
  painter.put(title, 0, bar, Style::title);
  for (const auto& [column, word] : {std::pair{std::size_t{0}, "PEER"}, std::pair{state, "STATE"},
                                     std::pair{sessions, "SESSIONS"}, std::pair{waiting, "WAITING"},
                                     std::pair{next, "NEXT TRY"}, std::pair{error, "LAST ERROR"}})
    painter.put(title, column, word, Style::title);
  lines.push_back(std::move(title));
  for (std::size_t i = 0; i < shown; ++i) {
    const Json& peer = *order[i];
    const bool up = text(peer, "state") == "up";
    Line line;
    painter.put(line, 0, fit(visible(text(peer, "name")), name), Style::plain);
    painter.put(line, state, fit(visible(text(peer, "state")), 7), style_of_peer(peer));
    painter.put(line, sessions, right_aligned(count(peer, "sessions"), 8), Style::plain);
    painter.put(line, waiting, right_aligned(count(peer, "waiting"), 7), Style::plain);
    painter.put(line, next, fit(next_try(peer, now), 9), Style::plain);
    // Once a peer is up again, its last error no longer matters.
    painter.put(line, error, up ? std::string() : text(peer, "last_error"), Style::plain);
    lines.push_back(std::move(line));
  }
  if (shown < order.size()) {
    lines.push_back(painter.line("and " + std::to_string(order.size() - shown) + " more"));
  }
  return lines;
}

// Always has the same height, so that nothing moves when another session is selected.
Lines detail(const WatchModel& model, ScreenSize screen, WallTime now) {
  if (!model.selected() || screen.rows < kRowsForDetail) return {};
  const Json& session = model.sessions()[*model.selected()];
  const Painter painter(screen.columns);
  const auto opened = age(session, "created_at", now);
  const std::string error = text(session, "last_error");
  Lines lines(1);
  lines.push_back(painter.line(joined({named("session", text(session, "id")), text(session, "role"),
                                       "generation " + std::to_string(count(session, "generation")),
                                       named("identity", text(session, "identity"))}),
                               Style::strong));
  lines.push_back(painter.line(joined(
      {named("tunnel", text(session, "tunnel")), named("service", text(session, "service")),
       named("peer", text(session, "peer")), named("application", text(session, "application"))})));
  lines.push_back(painter.line(
      joined({named("link", text(session, "link")),
              counted(count(session, "reconnects"), "reconnect"), size(session, "bytes_in") + " in",
              size(session, "bytes_out") + " out", size(session, "buffered") + " buffered"})));
  lines.push_back(painter.line(joined({opened ? "opened " + human_age(*opened) + " ago" : "",
                                       error.empty() ? "no error" : "last error: " + error})));
  return lines;
}

// The keys on at most two lines; keys that do not fit are left out.
Lines keys(ScreenSize screen) {
  if (screen.rows < kRowsForKeys) return {};
  std::vector<std::string> items{"q quit", "arrows select", "r reverse", "sort by:"};
  for (const SortChoice& choice : sort_choices())
    items.push_back(std::string(1, choice.letter) + " " + std::string(choice.key.name));
  std::vector<std::string> texts(1);
  for (const std::string& item : items) {
    const bool first = texts.back().empty();
    if (!first && texts.back().size() + 2 + item.size() > screen.columns) {
      if (texts.size() == 2) break;
      texts.emplace_back();
    }
    texts.back() += (texts.back().empty() ? "" : "  ") + item;
  }
  Lines lines;
  for (const std::string& text : texts)
    lines.push_back(Painter(screen.columns).line(text, Style::faint));
  return lines;
}

// How the rows are divided.
struct Frame {
  Lines top;
  Lines bottom;
  std::size_t session_rows;
};

Frame frame(const WatchModel& model, ScreenSize screen, WallTime now) {
  Frame frame{header(model, screen), detail(model, screen, now), 1};
  append(frame.top, peers(model, screen, now));
  append(frame.bottom, keys(screen));
  if (screen.rows >= kRowsForPeers) frame.top.emplace_back();
  // Two more rows: the number of sessions, and the titles of their table.
  const std::size_t taken = frame.top.size() + frame.bottom.size() + 2;
  if (screen.rows > taken) frame.session_rows = screen.rows - taken;
  return frame;
}

std::string summary(const WatchModel& model, std::size_t first, std::size_t shown) {
  const std::size_t all = model.sessions().size();
  if (all == 0) return "no sessions";
  std::string text = counted(all, "session");
  if (shown < all) {
    text = "sessions " + std::to_string(first + 1) + " to " + std::to_string(first + shown) +
           " of " + std::to_string(all);
  }
  text += ", by " + std::string(model.sort().name);
  return model.reverse() ? text + ", descending" : text;
}

}  // namespace

std::size_t session_rows(const WatchModel& model, ScreenSize size) {
  return frame(model, size, WallTime()).session_rows;
}

std::vector<Line> lay_out(const WatchModel& model, ScreenSize size, WallTime now) {
  Frame parts = frame(model, size, now);
  const Json& sessions = model.sessions();
  // Whole pages instead of scrolling, so that a session's place does not depend on earlier moves.
  const std::size_t rows = parts.session_rows;
  const std::size_t first = model.selected().value_or(0) / rows * rows;
  const std::size_t shown = std::min(rows, sessions.size() - std::min(first, sessions.size()));

  Lines lines = std::move(parts.top);
  if (size.rows >= kRowsForTotals) {
    lines.push_back(Painter(size.columns).line(summary(model, first, shown), Style::faint));
  } else {
    lines.emplace_back();
  }
  if (shown > 0) append(lines, session_table(model, {first, shown}, size.columns, now));
  // The rest is at the bottom of the screen.
  const std::size_t end = size.rows - std::min(size.rows, parts.bottom.size());
  if (lines.size() < end) lines.resize(end);
  append(lines, std::move(parts.bottom));
  if (lines.size() > size.rows) lines.resize(size.rows);
  if (model.problem() != nullptr) {
    // Everything below the message is out of date.
    for (std::size_t i = 1; i < lines.size(); ++i) {
      for (Span& span : lines[i]) {
        if (span.style != Style::title) span.style = Style::faint;
      }
    }
  }
  return lines;
}

}  // namespace backedpipe::ctl
