// Ends a link without losing the last frame that was written to it.
#pragma once

#include <memory>

#include "net/link/transport.hpp"

namespace backedpipe {

// Ends our direction and reads until the peer has ended its own, for at most two seconds. If the
// socket were closed with unread bytes in it, the kernel would send a TCP reset, and the peer could
// lose what was written last (RFC 1122 section 4.2.2.13).
void close_gracefully(std::unique_ptr<Transport> transport);

}  // namespace backedpipe
