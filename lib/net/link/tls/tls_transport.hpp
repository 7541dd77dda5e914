// A link's bytes under TLS 1.3, on a non-blocking socket: from the ring into records without
// another copy, and buffers that are given back while the link is idle. Who the other side must be
// is the context's matter.
#pragma once

#include <memory>

#include "net/link/tls/tls_context.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

std::unique_ptr<TransportFactory> make_tls_factory(std::shared_ptr<const TlsContext> context);

}  // namespace backedpipe
