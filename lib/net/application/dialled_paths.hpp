// How a TunnelListener reaches the peers of a Dialler: over links that this side dials.
#pragma once

#include <string>

#include "net/application/tunnel_listener.hpp"
#include "net/dial/dialler.hpp"

namespace backedpipe {

// The dialler must outlive the function.
inline TunnelListener::PathTo paths_of(Dialler& dialler) {
  return [&dialler](const std::string& peer) {
    return TunnelListener::Path{{&dialler, dialler}, dialler.peer(peer).identity};
  };
}

}  // namespace backedpipe
