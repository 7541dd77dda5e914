// PeerGate: what the sessions of one client share about one peer: whether it can be reached, and
// which sessions may dial it now. While it is up or unknown, kMostDials sessions dial at a time at
// most, first come, first served; the others wait. While it is down, one session dials at a time,
// the probe, with a backoff that belongs to the peer. Once a probe is answered, the others follow
// at once.
//
//               no dial is answered, or all of them fail
//     ┌─────────┐          ┌────────┐
//     │ unknown ├─────────▶│  down  │ one probe at a time
//     └────┬────┘          └─┬────▲─┘
//          │    answered     │    │
//          │               ┌─▼────┴─┐
//          └──────────────▶│   up   │
//                          └────────┘
//
// For a session, waiting here is part of an attempt: after a dial that never reached the peer, the
// same attempt is dialled again. Once a dial was answered, its HELLO may have arrived. Then a
// failure is the session's own, and the next attempt needs a new generation.
//
// Pure: reports come in, actions go out. After any call, take next_action() until there is none.
// Owned by the client, on its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "pipe/time.hpp"
#include "proto/session_id.hpp"
#include "session/dial/reconnector.hpp"

namespace backedpipe {

class PeerGate {
 public:
  // How many dials of sessions of one peer are under way at most.
  static constexpr std::size_t kMostDials = 64;

  enum class State : std::uint8_t { unknown, up, down };

  struct Action {
    enum class Kind : std::uint8_t {
      dial,    // for this session
      cancel,  // this session's dial; the session goes on waiting
    };
    Kind kind;
    SessionId session;
  };

  // `seed` feeds the jitter of the probes' backoff.
  explicit PeerGate(std::uint64_t seed);

  // --- what the sessions want

  // The session wants a link. Changes nothing if it already waits or is being dialled for.
  void request(const SessionId& session);
  // The session has its link, or no longer wants one; its dial is no longer under way.
  void withdraw(const SessionId& session);
  // The network has changed, or an operator asks for it: what was learned may not be true any more.
  // Probes at once, and dials again for the sessions whose dial has no answer yet.
  void kick(TimePoint now);

  // --- what became of a dial or a link

  // The peer is there: its side of the transport's handshake is complete. The dial goes on until
  // withdraw() or failed().
  void answered(const SessionId& session, TimePoint now);
  // An older link has answered after all: the peer can be reached.
  void alive(TimePoint now);
  // There was no answer for a while; the dial goes on. Counts once the peer has answered no dial
  // for that long.
  void struggling(const SessionId& session, const std::string& why, TimePoint now);
  // True: the peer could not be reached, and the session goes on waiting. False: the peer is there,
  // so the failure is the session's own, and it does not wait any more.
  [[nodiscard]] bool failed(const SessionId& session, const std::string& why, TimePoint now);

  // --- time and actions

  std::optional<TimePoint> deadline() const;
  std::optional<Action> next_action(TimePoint now);

  // --- what it is

  State state() const { return state_; }
  // Why the peer was last found to be down, or why the latest probe failed; empty if it never was.
  const std::string& last_error() const { return last_error_; }
  // When it last went down.
  TimePoint down_since() const { return down_since_; }
  // While it is down and no probe is under way: when the next one starts, if a session waits.
  std::optional<TimePoint> next_probe() const;
  bool probing() const;
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t dialling() const { return dialling_.size(); }

 private:
  struct Entry {
    SessionId session;
    bool dialling = false;
    bool answered = false;
    TimePoint began{};                     // of its dial
    std::optional<std::string> complaint;  // set: it struggles
  };
  using Entries = std::list<Entry>;

  Entries::iterator find_dial(const SessionId& session);
  // When the silence will have lasted too long.
  TimePoint verdict_at(const Entry& entry) const;
  void judge(TimePoint now);
  void go_down(const std::string& why, TimePoint now);
  void probe_failed(const Entry& entry);
  // Moves all dials but the first `keep` back to the head of those that wait.
  void park_dials(std::size_t keep);
  void park(Entries::iterator entry, Entries::const_iterator before);

  Reconnector reconnector_;
  State state_ = State::unknown;
  TimePoint down_since_{};
  TimePoint probe_at_{};     // while down: no probe before this
  TimePoint answered_at_{};  // of the latest answer
  // How long silence is normal.
  Duration patience_;
  TimePoint dialled_anew_at_{};
  std::string last_error_;

  Entries waiting_;   // the next one first
  Entries dialling_;  // in the order in which they began
  std::unordered_map<SessionId, Entries::iterator> entries_;
  std::deque<SessionId> cancels_;
};

}  // namespace backedpipe
