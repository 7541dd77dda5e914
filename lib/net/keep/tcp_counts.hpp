// Asks the kernel for the counts of a TCP connection. What they mean: session/tcp_counts.hpp.
#pragma once

#include <optional>

#include "session/tcp_counts.hpp"

namespace backedpipe {

// Nothing for a socket that is not a TCP connection, or not yet. Precondition: nobody reads from
// the socket or writes to it meanwhile. Changes nothing: an error that is pending stays so.
std::optional<TcpCounts> tcp_counts(int socket);

}  // namespace backedpipe
