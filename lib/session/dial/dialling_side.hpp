// DiallingSide: the part of a session that only the dialling side has: when to dial, and what the
// server knows of the session. Part of a Session.
#pragma once

#include <cstdint>

#include "pipe/time.hpp"
#include "session/dial/reconnector.hpp"

namespace backedpipe {

struct DiallingSide {
  // Whether the server knows of the session. Only ever rises.
  enum class ServerKnows : std::uint8_t {
    no,       // no HELLO has been sent
    perhaps,  // one has been sent, and not answered
    yes,      // it has answered with WELCOME
  };

  Reconnector reconnector;
  ServerKnows server_knows = ServerKnows::no;
  TimePoint hello_at{};  // of the latest HELLO
};

}  // namespace backedpipe
