// How a TunnelListener reaches the peers of a Dialler: over links that this side dials.
#pragma once

#include <optional>
#include <string>

#include "net/application/tunnel_listener.hpp"
#include "net/dial/dialler.hpp"

namespace backedpipe {

// The dialler must outlive the function.
inline TunnelListener::PathTo paths_of(Dialler& dialler) {
  return [&dialler](const std::string& peer) {
    const Dialler::Peer* const known = dialler.find_peer(peer);
    if (known == nullptr) return std::optional<TunnelListener::Path>();
    return std::optional(TunnelListener::Path{{&dialler, dialler}, known->identity});
  };
}

}  // namespace backedpipe
