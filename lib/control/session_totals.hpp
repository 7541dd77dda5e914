// SessionTotals: counters of one side (client or server) of a daemon since its start.
#pragma once

#include <cstdint>

namespace backedpipe {

// Plain value.
struct SessionTotals {
  std::uint64_t opened = 0;
  std::uint64_t ended = 0;
  std::uint64_t attaches = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t replayed_bytes = 0;

  SessionTotals& operator+=(const SessionTotals& other) {
    opened += other.opened;
    ended += other.ended;
    attaches += other.attaches;
    bytes_in += other.bytes_in;
    bytes_out += other.bytes_out;
    replayed_bytes += other.replayed_bytes;
    return *this;
  }
};

}  // namespace backedpipe
