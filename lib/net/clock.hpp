// The clocks. The layers above read the monotonic one for each event and pass the time on as an
// argument; the other one is for people.
#pragma once

#include <chrono>
#include <cstdint>

#include "pipe/time.hpp"

namespace backedpipe {

inline TimePoint steady_now() {
  return std::chrono::steady_clock::now();
}

inline std::chrono::system_clock::time_point wall_now() {
  return std::chrono::system_clock::now();
}

// As it is recorded for the next process: nanoseconds since 1970.
inline std::uint64_t to_nanoseconds(std::chrono::system_clock::time_point time) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(time.time_since_epoch()).count());
}
inline std::chrono::system_clock::time_point wall_time(std::uint64_t nanoseconds) {
  const std::chrono::nanoseconds since_1970(static_cast<std::int64_t>(nanoseconds));
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(since_1970));
}

}  // namespace backedpipe
