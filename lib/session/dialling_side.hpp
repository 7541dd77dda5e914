// DiallingSide: what only the side that dials has of a session: when to dial, and what the server
// knows of the session. Part of a Session.
#pragma once

#include <cstdint>

#include "pipe/time.hpp"
#include "session/reconnector.hpp"

namespace backedpipe {

struct DiallingSide {
  // Whether the server knows of the session. It never unlearns it.
  enum class ServerKnows : std::uint8_t {
    no,       // no HELLO has been said
    perhaps,  // one has, and no answer was seen
    yes,      // it has answered with WELCOME
  };

  Reconnector reconnector;
  ServerKnows server_knows = ServerKnows::no;
  TimePoint hello_at{};  // of the latest HELLO
};

}  // namespace backedpipe
