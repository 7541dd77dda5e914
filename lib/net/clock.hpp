// The monotonic clock, which the layers above read once for each event and pass on as an argument.
#pragma once

#include <chrono>

#include "pipe/time.hpp"

namespace backedpipe {

inline TimePoint steady_now() {
  return std::chrono::steady_clock::now();
}

}  // namespace backedpipe
