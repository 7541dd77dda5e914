// How what the system says about the network becomes a report: what is a suspend, and how often a
// burst of messages is worth one. Values, free of I/O; owned by a NetworkMonitor.
#pragma once

#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

// SuspendWatch tells a suspend from a clock that was merely set: CLOCK_BOOTTIME goes on while the
// machine sleeps and CLOCK_MONOTONIC does not, so their difference is the time spent asleep.
class SuspendWatch {
 public:
  explicit SuspendWatch(Duration asleep) : asleep_(asleep) {}

  // The difference of the clocks is `asleep` now. Was there a suspend since it was last asked?
  bool was_suspended(Duration asleep);

 private:
  Duration asleep_;
};

// ReportPace thins out the burst of messages that one change makes. The first is worth reporting at
// once, what follows soon after (a route behind the interface it needs), and the longer it goes on
// the less often, every 100 ms at most.
class ReportPace {
 public:
  // When something noticed `now` may be reported; not after `now`: at once.
  TimePoint due(TimePoint now) const;
  void reported(TimePoint now);

 private:
  std::optional<TimePoint> last_;
  Duration gap_{};
};

}  // namespace backedpipe
