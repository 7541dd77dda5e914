// HeardLink: a link over which a HELLO has come, and that has had no answer yet. Whoever holds it
// gives it to the session that the HELLO names, or refuses it.
#pragma once

#include <memory>

#include "net/link/transport.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

struct HeardLink {
  std::unique_ptr<Transport> transport;
  Hello hello;
  ConstBytes early;  // the bytes that came after the HELLO; valid until the call returns
};

}  // namespace backedpipe
