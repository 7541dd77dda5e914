// What the system has counted of an application's connection: how a record of it begins, and how
// far the bytes have come when the process that moved them is gone.
#pragma once

#include <optional>

#include "pipe/ledger.hpp"
#include "session/tcp_counts.hpp"

namespace backedpipe {

// For the record of a session that begins with this connection.
LedgerEntry::Connection connection_of(int socket);
// What has passed since then; nothing if the connection was reset. Takes a pending error.
std::optional<Moved> moved_on(int socket, const LedgerRecord& record);

}  // namespace backedpipe
