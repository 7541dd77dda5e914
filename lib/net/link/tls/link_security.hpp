// Makes the TransportFactory of one peer or one listener from its settings and the files that they
// name. Called at the start and again at each reload.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "net/link/transport.hpp"

namespace backedpipe {

struct LinkSecurity {
  std::shared_ptr<const TransportFactory> factory;
  std::string identity;  // by which the server knows us; empty for a listener and without security
  // At a listener: the identity of every client, if there can be only one. Without security no
  // client has one, which is the same for all.
  std::optional<std::string> only_identity{};
};

// Both throw std::runtime_error with a sentence about what is wrong with the files, and log a
// warning about a certificate that has expired, is not valid yet, or expires soon.
LinkSecurity load_security(const PeerSettings& peer);
LinkSecurity load_security(const AcceptSettings& accept);

}  // namespace backedpipe
