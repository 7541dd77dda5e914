// Time in the core: always an argument, never read from a clock.
#pragma once

#include <chrono>
#include <optional>

namespace backedpipe {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// The earlier of two deadlines; nothing means never.
inline std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a) return b;
  if (!b) return a;
  return *a < *b ? a : b;
}

}  // namespace backedpipe
