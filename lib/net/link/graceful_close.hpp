// Ends a link without losing the last frame that was written to it.
#pragma once

#include <memory>

#include "net/link/transport.hpp"

namespace backedpipe {

// Ends our direction and reads until the other side has done the same, for at most two seconds.
// Closing at once with unread bytes in the socket would make the kernel send a TCP reset, which
// overtakes what was written last (RFC 1122 section 4.2.2.13).
void close_gracefully(std::unique_ptr<Transport> transport);

}  // namespace backedpipe
