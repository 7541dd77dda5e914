// A link's bytes under TLS 1.3, on a non-blocking socket. Bytes go from the ring into records
// without another copy, and an idle link holds no buffers. The TlsContext decides which peers are
// accepted.
#pragma once

#include <memory>

#include "net/link/tls/tls_context.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

std::unique_ptr<TransportFactory> make_tls_factory(std::shared_ptr<const TlsContext> context);

}  // namespace backedpipe
