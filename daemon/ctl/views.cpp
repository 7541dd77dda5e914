#include "daemon/ctl/views.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/table.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

constexpr std::size_t kMaxStatusRows = 5;  // of each of the three lists
constexpr std::size_t kShortIdDigits = 8;

std::string count_text(const Json& object, const char* key) {
  return std::to_string(count(object, key));
}

std::string size(const Json& object, const char* key) {
  return human_size(count(object, key));
}

std::string age_text(const Json& object, const char* key, WallTime now) {
  const auto passed = age(object, key, now);
  return passed ? human_age(*passed) : std::string();
}

std::string round_trip(const Json& session) {
  const Json& value = field(session, "rtt_ms");
  return value.is_number() ? human_milliseconds(value.get<double>()) : std::string();
}

std::string joined(const Json& list) {
  std::string words;
  if (!list.is_array()) return words;
  for (const Json& item : list) {
    const auto* word = item.get_ptr<const std::string*>();
    if (word == nullptr) continue;
    if (!words.empty()) words += ", ";
    words += *word;
  }
  return words;
}

// How many digits of the ids to show so that no two sessions look the same.
std::size_t distinct_digits(const Json& sessions) {
  std::vector<std::string> ids;
  for (const Json& session : sessions)
    ids.push_back(text(session, "id"));
  std::sort(ids.begin(), ids.end());
  std::size_t digits = kShortIdDigits;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    const auto [a, b] =
        std::mismatch(ids[i - 1].begin(), ids[i - 1].end(), ids[i].begin(), ids[i].end());
    digits = std::max(digits, static_cast<std::size_t>(a - ids[i - 1].begin()) + 1);
  }
  return digits;
}

// "name   value" lines.
class Facts {
 public:
  void add(std::string_view name, std::string_view value) {
    lines_ += name;
    lines_.append(name.size() < kNameWidth ? kNameWidth - name.size() : 1, ' ');
    lines_ += value.empty() ? "-" : visible(value);
    lines_ += '\n';
  }
  const std::string& lines() const { return lines_; }

 private:
  static constexpr std::size_t kNameWidth = 13;
  std::string lines_;
};

std::string tunnel_table(const Json& tunnels) {
  using Align = Table::Align;
  Table table({{"TUNNEL"}, {"LISTEN"}, {"PEER"}, {"SERVICE"}, {"SESSIONS", Align::right}});
  for (const Json& tunnel : tunnels) {
    table.add_row({text(tunnel, "name"), text(tunnel, "listen"), text(tunnel, "peer"),
                   text(tunnel, "service"), count_text(tunnel, "sessions")});
  }
  return table.render(kMaxStatusRows);
}

std::string peer_table(const Json& peers) {
  using Align = Table::Align;
  using Show = Table::Show;
  Table table({{"PEER"},
               {"STATE"},
               {"ENDPOINTS"},
               {"SECURITY"},
               {"SESSIONS", Align::right},
               {"WAITING", Align::right, Show::if_any},
               {"NEXT ATTEMPT", Align::left, Show::if_any},
               {"LAST ERROR", Align::left, Show::if_any}});
  for (const Json& peer : peers) {
    const bool up = text(peer, "state") == "up";
    const bool probing = text(peer, "state") == "down" && count(peer, "dialling") > 0;
    const std::uint64_t waiting = count(peer, "waiting");
    table.add_row({text(peer, "name"), text(peer, "state"), joined(field(peer, "endpoints")),
                   text(peer, "security"), count_text(peer, "sessions"),
                   waiting > 0 ? std::to_string(waiting) : std::string(),
                   probing ? "under way" : text(peer, "next_attempt"),
                   up ? std::string() : text(peer, "last_error")});
  }
  return table.render(kMaxStatusRows);
}

std::string listener_table(const Json& listeners) {
  using Align = Table::Align;
  Table table(
      {{"LISTENER"}, {"SECURITY"}, {"HANDSHAKES", Align::right}, {"SESSIONS", Align::right}});
  for (const Json& listener : listeners) {
    table.add_row({text(listener, "listen"), text(listener, "security"),
                   count_text(listener, "handshakes"), count_text(listener, "sessions")});
  }
  return table.render(kMaxStatusRows);
}

std::string seconds(const Json& object, const char* key) {
  const Json& value = field(object, key);
  return value.is_number() ? human_milliseconds(value.get<double>() * 1000) : std::string();
}

// Newest first, because the latest links matter most.
std::string history_table(const Json& history) {
  using Align = Table::Align;
  Table table({{"GENERATION", Align::right},
               {"AWAY BEFORE", Align::right},
               {"ATTACHED"},
               {"DETACHED"},
               {"LINK"},
               {"WHY"}});
  for (auto link = history.rbegin(); link != history.rend(); ++link) {
    if (link->contains("restored")) {
      table.add_row({"", "", text(*link, "time"), "", "",
                     "a new process of the daemon has continued the session (restart " +
                         count_text(*link, "restored") + ")"});
      continue;
    }
    table.add_row({count_text(*link, "generation"), seconds(*link, "away_s"),
                   text(*link, "attached_at"), text(*link, "detached_at"), text(*link, "link"),
                   text(*link, "detail")});
  }
  return table.render();
}

std::string continuity(const Json& of) {
  if (field(of, "kept") != Json(true)) {
    const std::string why = text(of, "why_not");
    return "sessions end with the daemon" + (why.empty() ? "" : ": " + why);
  }
  const std::uint64_t others = count(of, "not_kept");
  const std::string since = text(of, "since");
  return "sessions outlive the daemon; " + counted(count(of, "restarts"), "restart") +
         (since.empty() ? "" : " since " + since) + ", " +
         counted(count(of, "restored"), "session") + " restored, " + count_text(of, "lost") +
         " lost" +
         (others > 0 ? "; but " + std::to_string(others) +
                           " of the present sessions end with the daemon: see the log"
                     : "");
}

}  // namespace

std::string render_status(const Json& status) {
  const Json& sessions = field(status, "sessions");
  const Json& totals = field(status, "totals");
  const std::string began = text(status, "started_at");
  Facts facts;
  facts.add(
      "daemon",
      "backedpipd " + text(status, "version") + ", pid " + count_text(status, "pid") + ", up " +
          human_age(std::chrono::seconds(static_cast<std::int64_t>(count(status, "uptime_s")))) +
          (began.empty() ? "" : " since " + began));
  facts.add("instance", text(status, "instance"));
  if (status.contains("continuity")) facts.add("continuity", continuity(status["continuity"]));
  facts.add("sessions", count_text(sessions, "connected") + " connected, " +
                            count_text(sessions, "disconnected") + " disconnected, " +
                            count_text(sessions, "reconnecting") + " reconnecting");
  facts.add("since start", counted(count(totals, "sessions_opened"), "session") + " opened, " +
                               count_text(totals, "sessions_ended") + " ended; " +
                               counted(count(totals, "attaches"), "link") + " attached, " +
                               counted(count(totals, "handshakes_failed"), "failed handshake"));
  facts.add("traffic", size(totals, "bytes_in") + " to applications, " + size(totals, "bytes_out") +
                           " from them, " + size(totals, "replayed_bytes") + " replayed");
  facts.add("memory",
            human_size(count(totals, "segments_in_use") * count(totals, "segment_bytes")) + " of " +
                size(totals, "memory_limit") + " in buffers");

  std::string page = facts.lines();
  const Json& tunnels = field(status, "tunnels");
  const Json& peers = field(status, "peers");
  const Json& listeners = field(status, "listeners");
  if (tunnels.is_array() && !tunnels.empty()) page += "\n" + tunnel_table(tunnels);
  if (peers.is_array() && !peers.empty()) page += "\n" + peer_table(peers);
  if (listeners.is_array() && !listeners.empty()) page += "\n" + listener_table(listeners);
  return page;
}

std::string render_sessions(const Json& sessions, WallTime now) {
  using Align = Table::Align;
  using Show = Table::Show;
  if (!sessions.is_array() || sessions.empty()) return "no sessions\n";
  Table table({{"ID"},
               {"STATE"},
               {"SINCE", Align::right},
               {"TUNNEL", Align::left, Show::if_any},
               {"SERVICE"},
               {"PEER"},
               {"AGE", Align::right},
               {"IN", Align::right},
               {"OUT", Align::right},
               {"UNACKED", Align::right},
               {"RTT", Align::right},
               {"RECONNECTS", Align::right},
               {"LAST ERROR", Align::left, Show::if_any}});
  const std::size_t digits = distinct_digits(sessions);
  for (const Json& session : sessions) {
    // Once a session is connected again, its last error no longer matters.
    const bool connected = text(session, "state") == "connected";
    table.add_row({text(session, "id").substr(0, digits), state_word(session),
                   age_text(session, "state_since", now), text(session, "tunnel"),
                   text(session, "service"), text(session, "peer"),
                   age_text(session, "created_at", now), size(session, "bytes_in"),
                   size(session, "bytes_out"), size(session, "unacked"), round_trip(session),
                   count_text(session, "reconnects"),
                   connected ? std::string() : text(session, "last_error")});
  }
  return table.render();
}

std::string render_session(const Json& session, WallTime now) {
  const auto time = [&](const char* key) {
    const std::string ago = age_text(session, key, now);
    return text(session, key) + (ago.empty() ? "" : " (" + ago + " ago)");
  };
  const std::string since = time("state_since");
  Facts facts;
  facts.add("id", text(session, "id"));
  facts.add("role", text(session, "role"));
  facts.add("tunnel", text(session, "tunnel"));
  facts.add("service", text(session, "service"));
  facts.add("peer", text(session, "peer"));
  facts.add("identity", text(session, "identity"));
  facts.add("state", state_word(session) + (since.empty() ? "" : " since " + since));
  facts.add("created", time("created_at"));
  facts.add("application", text(session, "application"));
  facts.add("link", text(session, "link"));
  facts.add("generation", count_text(session, "generation"));
  facts.add("reconnects", count_text(session, "reconnects"));
  if (session.contains("restores")) facts.add("restores", count_text(session, "restores"));
  facts.add("in", size(session, "bytes_in") + " to the application");
  facts.add("out", size(session, "bytes_out") + " from the application, " +
                       size(session, "unacked") + " unacknowledged");
  facts.add("buffered", size(session, "buffered"));
  facts.add("window", size(session, "window"));
  facts.add("round trip", round_trip(session));
  facts.add("last error", text(session, "last_error"));
  if (field(session, "kept").is_boolean()) {
    facts.add("kept", field(session, "kept") == Json(true) ? "yes: it outlives the daemon"
                                                           : "no: it ends with the daemon");
  }
  const Json& history = field(session, "history");
  if (!history.is_array() || history.empty()) return facts.lines();
  return facts.lines() + "\n" + history_table(history);
}

}  // namespace backedpipe::ctl
