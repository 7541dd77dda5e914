// HeardLink: a link that has delivered a HELLO and got no answer yet. Its holder gives it to the
// session that the HELLO names, or refuses it.
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
