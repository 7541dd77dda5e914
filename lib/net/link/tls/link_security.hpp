// How the links of one peer or one listener are secured: from the settings, and what is now in the
// files that they name, to a TransportFactory. Asked at the start and again at each reload.
#pragma once

#include <memory>
#include <string>

#include "config/settings.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

struct LinkSecurity {
  std::shared_ptr<const TransportFactory> factory;
  std::string identity;  // what the server calls us; empty for a listener and without security
};

// Both throw std::runtime_error with a sentence about what is wrong with the files, and log a
// warning about a certificate that is not valid (any more, yet, or much longer).
LinkSecurity load_security(const PeerSettings& peer);
LinkSecurity load_security(const AcceptSettings& accept);

}  // namespace backedpipe
