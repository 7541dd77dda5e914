// Filters between what the system says about the network and what is reported: what is a suspend,
// and how often a burst of messages is worth a report. Values, free of I/O; owned by a
// NetworkMonitor, on its thread.
#pragma once

#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

// SuspendWatch tells a suspend from a clock that was merely set: CLOCK_BOOTTIME goes on while the
// machine sleeps and CLOCK_MONOTONIC does not, so their difference is the time spent asleep.
class SuspendWatch {
 public:
  explicit SuspendWatch(Duration asleep) : asleep_(asleep) {}

  // `asleep` is the difference of the clocks now. True if the machine was suspended since the last
  // call.
  bool was_suspended(Duration asleep);

 private:
  Duration asleep_;
};

// ReportPace thins out the burst of messages that one change causes. The first message is reported
// at once and the next soon after it (a route follows the interface that it needs). The longer the
// burst lasts, the longer the gap between reports, up to 100 ms.
class ReportPace {
 public:
  // When a change noticed at `now` may be reported; `now` itself means at once.
  TimePoint due(TimePoint now) const;
  void reported(TimePoint now);

 private:
  std::optional<TimePoint> last_;
  Duration gap_{};
};

}  // namespace backedpipe
