// What the control socket and the metrics report about a running daemon: plain values that the
// daemon fills from its workers. They own everything in them, so they can cross threads.
//
// The JSON names of the fields are fixed, see snapshot_json.cpp: scripts depend on them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/session_totals.hpp"
#include "pipe/backed_pipe.hpp"
#include "pipe/time.hpp"
#include "proto/session_id.hpp"
#include "session/dial/peer_gate.hpp"
#include "session/session.hpp"

namespace backedpipe {

using WallTime = std::chrono::system_clock::time_point;

// One link that a session has had.
struct LinkRecord {
  std::uint64_t generation = 0;
  std::string link;  // its remote address
  WallTime attached_at;
  std::optional<Duration> away;         // time without a link before this one; none for the first
  std::optional<WallTime> detached_at;  // none while the link lasts
  std::string reason;                   // why it ended: a word, see CONTROL.md
  std::string detail;                   // the same for people
};

struct SessionSnapshot {
  SessionId id;
  Role role = Role::client;
  std::string tunnel;  // empty on a server
  std::string service;
  std::string peer;  // on a client the peer's name, on a server its remote address
  std::string identity;
  PipeState state = PipeState::disconnected;
  std::uint64_t generation = 0;
  std::uint64_t reconnects = 0;  // links after the first
  std::uint64_t restores = 0;    // how often another process of the daemon has continued it
  WallTime created_at;
  WallTime state_since;
  std::string application;      // address of the application
  std::string link;             // remote address of the link; empty when there is none
  std::uint64_t bytes_in = 0;   // delivered to the application
  std::uint64_t bytes_out = 0;  // read from the application
  std::uint64_t unacked = 0;    // bytes read from the application that the peer may lack
  std::uint64_t buffered = 0;   // bytes of memory held, both directions
  std::uint64_t window = 0;     // bytes that the peer may have in flight to this side
  std::optional<Duration> rtt;
  std::string last_error;  // why the link that ended last has ended; empty when none has
  bool suspect = false;    // connected, but the link owes an answer
  bool kept = false;       // it outlives the daemon's process
  // The latest 32 links in this process, oldest first; only when one session is asked for.
  std::vector<LinkRecord> history;
  std::optional<WallTime> restored_at;  // by this process; likewise
};

struct TunnelSnapshot {
  std::string name;
  std::string listen;
  std::string peer;
  std::string service;
  std::uint64_t sessions = 0;
};

using PeerState = PeerGate::State;

std::string_view name(PeerState state);

struct PeerSnapshot {
  std::string name;
  std::vector<std::string> endpoints;
  std::string security;
  PeerState state = PeerState::unknown;
  std::string last_error;                // why it was last found down; empty when it never was
  std::optional<WallTime> next_attempt;  // while down and wanted; the present during an attempt
  std::uint64_t sessions = 0;
  std::uint64_t waiting = 0;       // sessions that wait for their turn to dial
  std::uint64_t dialling = 0;      // sessions that dial
  std::uint64_t dials = 0;         // connections begun since the daemon was started
  std::uint64_t spare_links = 0;   // without a session, kept for new ones
  std::uint64_t links_reused = 0;  // sessions begun on a spare link since the daemon was started
};

struct ListenerSnapshot {
  std::string listen;
  std::string security;
  std::uint64_t handshakes = 0;  // in progress
  std::uint64_t sessions = 0;
  std::uint64_t spare_links = 0;  // without a session, kept for new ones
};

struct WorkerSnapshot {
  std::uint64_t sessions = 0;
};

// Counters since the daemon was started; the last three are current values.
struct Totals {
  SessionTotals sessions;
  std::uint64_t handshakes_failed = 0;
  std::uint64_t links_handed_over = 0;  // to the worker of the session that they resume
  std::uint64_t segments_in_use = 0;
  std::uint64_t segment_bytes = 0;  // the size of one
  std::uint64_t memory_limit = 0;   // bytes
};

// Whether sessions outlive the daemon's process.
struct ContinuitySnapshot {
  bool kept = false;
  std::string why_not;  // a sentence, unless they do
  // When the first of the processes began of which each has continued the one before it.
  std::optional<WallTime> since;
  std::uint64_t restarts = 0;  // how many processes have continued the sessions of one before them
  std::uint64_t restored = 0;  // sessions that this process has continued
  std::uint64_t lost = 0;      // sessions that it could not continue, and has reset
  std::uint64_t not_kept = 0;  // present sessions that would end with this process
};

struct StatusSnapshot {
  std::string version;
  std::int64_t pid = 0;
  std::string instance;
  WallTime started_at;
  std::chrono::seconds uptime{0};
  bool draining = false;
  ContinuitySnapshot continuity;
  std::uint64_t connected = 0;
  std::uint64_t disconnected = 0;
  std::uint64_t reconnecting = 0;
  std::vector<TunnelSnapshot> tunnels;
  std::vector<PeerSnapshot> peers;
  std::vector<ListenerSnapshot> listeners;
  std::vector<WorkerSnapshot> workers;
  Totals totals;
};

}  // namespace backedpipe
