// NetworkChange: what the system has noticed about the network, and what follows for the links of a
// client. A daemon that learns of it at once need not wait until silence tells. All but the last
// function is free of I/O.
#pragma once

#include <optional>
#include <vector>

#include "pipe/time.hpp"

namespace backedpipe {

class Client;

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

// How many links have lost our trust, or have to show that they deserve it.
struct Doubted {
  std::size_t distrusted_count = 0;
  std::size_t asked_count = 0;
};

// Lets a client's links know: on the client's thread, once the gates know.
Doubted apply(const NetworkChange& change, Client& client);
// One line for the log, about the clients of all workers.
void log_change(const NetworkChange& change, const std::vector<Doubted>& doubted);

}  // namespace backedpipe
