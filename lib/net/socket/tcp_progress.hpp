// What the kernel knows about the progress of a TCP connection. Known on Linux only.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/time.hpp"
#include "session/pump/ends.hpp"

namespace backedpipe {

struct TcpProgress {
  // How many of our segments the peer's TCP has acknowledged, selectively (SACK, RFC 2018) or not;
  // wraps at 2^32.
  std::uint32_t delivered;
  Duration since_acknowledgement;  // since its latest one, even if that said nothing new
  Duration least_round_trip;       // over the last minutes
};

std::optional<TcpProgress> tcp_progress(int socket);

// What the other side of an application's connection owes; see Unanswered. Nothing for a Unix
// socket.
std::optional<Unanswered> tcp_unanswered(int socket);

}  // namespace backedpipe
