// What can be known of a session whose process is gone: from its record in the ledger, which may lag
// behind or run ahead as LedgerEntry says, and from what the system has counted of its application's
// connection, which is exact. Checks everything: the process may have scribbled over its own memory
// before it ended. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "pipe/ledger.hpp"
#include "session/session_record.hpp"
#include "session/tcp_counts.hpp"

namespace backedpipe {

// The ledger and the arena of the process that is gone. Not written any more.
struct LedgerView {
  std::span<const LedgerRecord> records;
  std::span<const SegmentLink> links;
  ConstBytes arena;
  std::size_t segment_bytes = 0;  // more than 0
};

struct Recovered {
  SessionRecord session;  // its service is known by the labels
  HeldPieces held;        // in the arena of the view
  std::uint32_t labels = 0;
  std::uint64_t created_at = 0;
  std::uint64_t restores = 0;                   // before this one
  std::optional<std::uint64_t> detached_since;  // as recorded; nothing: it had a link
  std::optional<Duration> grace;                // see Session::grace
  // The application's connection; nothing if there is none yet, or none any more.
  std::optional<LedgerEntry::Connection> connection;
};

// Why a session cannot be continued.
struct Unrecoverable {
  std::string_view why;  // a phrase for the log
};

// `moved`: what the connection named in the record has moved since its baselines; nothing if there
// is no such connection, or if it was reset: then the session is one that is being reset.
std::variant<Recovered, Unrecoverable> recover(const LedgerView& view, const LedgerRecord& record,
                                               const std::optional<TcpMoved>& moved);

}  // namespace backedpipe
