// What every link's socket is set to. Linux has all of it; elsewhere an option that does not exist
// is left out, and the link works without.
#pragma once

#include "net/socket/stream.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

// No delay for small writes, gives up after `dead` without acknowledgement by the other side's
// kernel (TCP_USER_TIMEOUT, RFC 5482), and queues little that is not sent yet, so that a ping or an
// acknowledgement does not wait behind megabytes on a slow link. A few keystrokes lost in an outage
// are repeated soon after it (TCP_THIN_LINEAR_TIMEOUTS).
void prepare_link_socket(StreamSocket& socket, Duration dead);

}  // namespace backedpipe
