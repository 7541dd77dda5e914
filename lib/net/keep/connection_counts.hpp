// The part of a session's record that is about its application's connection: how it begins, and how
// far the bytes have come when the process that moved them is gone.
#pragma once

#include <optional>

#include "net/keep/tcp_counts.hpp"
#include "net/keep/vault.hpp"
#include "pipe/ledger.hpp"

namespace backedpipe {

// For the record of a session that begins with this connection.
inline LedgerEntry::Connection connection_of(int socket) {
  const auto counts = tcp_counts(socket);
  if (!counts) return {.socket = cookie_of(socket), .uncounted = true};
  const TcpBaseline baseline = baseline_of(*counts);
  return {.socket = cookie_of(socket),
          .taken_baseline = baseline.received,
          .given_baseline = baseline.given};
}

// What has passed on the connection since then; nothing if it was reset.
inline std::optional<TcpMoved> moved_on(int socket, const LedgerRecord& record) {
  const auto counts = tcp_counts(socket);
  // Nobody counts the bytes of a Unix socket.
  if (!counts) return TcpMoved{};
  return moved_since({.received = record.taken_baseline, .given = record.given_baseline}, *counts,
                     {.taken = record.written_offset, .given = record.delivered_offset});
}

// Whether it was accepted and nothing was read from it or written to it.
inline bool is_unused(int socket) {
  const auto counts = tcp_counts(socket);
  if (!counts || counts->error_pending) return false;
  const bool open =
      counts->state == TcpCounts::State::open || counts->state == TcpCounts::State::end_received;
  const TcpBaseline passed = baseline_of(*counts);
  return open && passed.received == 0 && passed.given == 0;
}

}  // namespace backedpipe
