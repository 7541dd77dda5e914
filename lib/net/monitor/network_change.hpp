// NetworkChange: what the system has noticed about the network, and what follows for a link. A daemon
// that learns of it at once need not wait until silence tells. Free of I/O.
#pragma once

#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

struct NetworkChange {
  // An address, a route or an interface came or went: packets may take another way from now on.
  bool rerouted = false;
  // The machine was suspended and runs again.
  bool resumed = false;

  bool any() const { return rerouted || resumed; }
};

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

// What the decision about one link rests on.
struct LinkFacts {
  bool loopback = false;      // its own address is of this machine only
  bool address_gone = false;  // no interface that is up has its local address any more
  std::optional<Duration> owed_for =
      {};  // an answer to data or to a ping is outstanding for this long
  std::optional<Duration> round_trip = {};
};

enum class LinkDoubt { none, ask, distrust };

// Ask: whether it still answers. Distrust: another link is to be tried beside it now.
LinkDoubt doubt(const NetworkChange& change, const LinkFacts& link);

}  // namespace backedpipe
