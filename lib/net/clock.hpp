// The monotonic clock. The layers above read it for each event and pass the time on as an argument.
#pragma once

#include <chrono>

#include "pipe/time.hpp"

namespace backedpipe {

inline TimePoint steady_now() {
  return std::chrono::steady_clock::now();
}

}  // namespace backedpipe
