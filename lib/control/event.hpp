// What happens to sessions and peers, as values. The log, the control socket's subscribers and the
// metrics are all fed from these, so that they agree. An Event owns everything in it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/snapshots.hpp"

namespace backedpipe {

struct Event {
  enum class Kind : std::uint8_t {
    open,       // a session begins, without a link yet
    attach,     // the session has a link
    detach,     // the session has lost its link, or let go of it
    takeover,   // a newer link has replaced one that was not lost
    close,      // the session is over, and so is its link
    peer_up,    // a peer that was down answers again
    peer_down,  // a peer does not answer
    parked,     // the process that has the session ends, and leaves it to the next one
    restored,   // the session goes on after the process that had it has ended
  };

  Kind kind = Kind::open;
  WallTime time;

  // None for a peer's events.
  std::optional<SessionId> session;
  Role role = Role::client;
  std::uint64_t generation = 0;  // open, close: of the latest link or attempt
  std::string tunnel;            // client
  std::string service;
  std::string identity;
  std::string application;
  std::string link;               // attach, takeover, detach: the link's remote address
  std::uint64_t bytes_in = 0;     // delivered to the application so far
  std::uint64_t bytes_out = 0;    // read from the application so far
  std::uint64_t links_count = 0;  // so far

  std::string peer;  // client: the peer's name; server: empty

  // A word from a fixed set, see CONTROL.md; empty for open and peer_up.
  std::string reason;
  std::string detail;  // more about the reason, for people; may be empty
  // attach, takeover: how long the session was without a link; none for its first link. detach: how
  // long it had the link. close: how long it lasted. peer_up: how long the peer was down.
  std::optional<Duration> duration;
};

std::string_view name(Event::Kind kind);

// The line for the log, without a newline. It may contain anything that a peer sent.
std::string describe(const Event& event);

}  // namespace backedpipe
