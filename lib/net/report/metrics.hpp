// Metrics: a daemon's counters and gauges in Prometheus' text format. It counts the events that no
// other part of the daemon counts; the rest is gathered for each scrape. Part of a Node, on the
// thread that directs it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <prometheus/histogram.h>
#include <string>

#include "control/event.hpp"
#include "control/snapshots.hpp"
#include "net/worker/workers.hpp"

namespace backedpipe {

class Metrics {
 public:
  Metrics(SharedState& shared, Workers& workers);

  // `not_kept` in it is counted here.
  std::string text(const ContinuitySnapshot& continuity);

 private:
  using Counts = std::map<std::string, std::uint64_t>;  // by reason

  // Of the sessions of one role.
  struct Of {
    Counts attaches;
    Counts detaches;
    Counts ends;
  };

  void count(const Event& event);

  SharedState& shared_;
  Workers& workers_;
  WallTime started_at_;
  std::array<Of, 2> of_;  // by role
  prometheus::Histogram reconnect_seconds_;
};

}  // namespace backedpipe
