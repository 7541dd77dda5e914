// The socket options of every link. Linux has all of them. On other systems a missing option is
// left out, and the link works without it.
#pragma once

#include <cstdint>

#include "net/socket/stream.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

// - Small writes go out at once.
// - The connection fails after `dead` without an acknowledgement from the peer's kernel
//   (TCP_USER_TIMEOUT, RFC 5482).
// - The kernel queues little unsent data (TCP_NOTSENT_LOWAT), so that on a slow link a ping or an
//   acknowledgement does not wait until megabytes have left.
// - A few keystrokes lost in an outage are retransmitted soon after it (TCP_THIN_LINEAR_TIMEOUTS).
void prepare_link_socket(StreamSocket& socket, Duration dead);

// Neither direction uses larger TCP segments than this (TCP_MAXSEG). Precondition: not connected
// yet.
void limit_segments(StreamSocket& socket, std::uint16_t bytes);

}  // namespace backedpipe
