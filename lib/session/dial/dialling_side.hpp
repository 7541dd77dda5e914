// DiallingSide: the state that only a dialling session has: when to dial, and what the server knows
// of the session. Part of a Session.
#pragma once

#include <cstdint>

#include "pipe/time.hpp"
#include "session/dial/reconnector.hpp"

namespace backedpipe {

struct DiallingSide {
  // Whether the server knows of the session. Only ever increases.
  enum class ServerKnows : std::uint8_t {
    no,       // no HELLO has been sent
    perhaps,  // a HELLO has been sent and not answered
    yes,      // the server has answered with WELCOME
  };

  Reconnector reconnector;
  ServerKnows server_knows = ServerKnows::no;
  // See Session::fruitless_links.
  std::uint32_t fruitless_links = 0;
  TimePoint hello_at{};  // of the latest HELLO
};

}  // namespace backedpipe
