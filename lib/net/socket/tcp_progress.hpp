// What the kernel knows of how a link's TCP connection gets on. Linux says it; elsewhere nothing
// does.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

struct TcpProgress {
  // How many segments of ours the other side's TCP has acknowledged, one by one too (SACK, RFC
  // 2018); begins anew after 2^32.
  std::uint32_t delivered;
  Duration since_acknowledgement;  // since its latest one, whether it said anything new or not
  Duration least_round_trip;       // of the last minutes
};

std::optional<TcpProgress> tcp_progress(int socket);

}  // namespace backedpipe
