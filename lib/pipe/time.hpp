// Time in the core: always an argument, never read from a clock of its own.
#pragma once

#include <chrono>
#include <optional>

namespace backedpipe {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// For work that takes long enough for time to pass: asks the caller's clock, or stays at the one
// moment that it was made from.
class TimeSource {
 public:
  using Clock = TimePoint (*)();

  TimeSource(TimePoint moment) : moment_(moment) {}  // NOLINT(google-explicit-constructor)
  TimeSource(Clock clock) : clock_(clock) {}         // NOLINT(google-explicit-constructor)

  TimePoint operator()() const { return clock_ != nullptr ? clock_() : moment_; }

 private:
  Clock clock_ = nullptr;
  TimePoint moment_{};
};

// The earlier of two deadlines; nothing means never.
inline std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a) return b;
  if (!b) return a;
  return *a < *b ? a : b;
}

}  // namespace backedpipe
