// Metrics: what a daemon has done and holds, in Prometheus' text format. Counts what nobody else
// counts from the events; the rest is read when somebody asks. Part of a Node, on the thread of its
// worker.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <prometheus/histogram.h>
#include <string>

#include "control/event.hpp"
#include "net/client.hpp"
#include "net/server.hpp"
#include "net/worker.hpp"

namespace backedpipe {

class Metrics {
 public:
  Metrics(Worker& worker, const Client& client, const Server& server);

  std::string text() const;

 private:
  using Counts = std::map<std::string, std::uint64_t>;  // by reason

  // Of the sessions of one role.
  struct Of {
    Counts attaches;
    Counts detaches;
    Counts ends;
  };

  void count(const Event& event);

  Worker& worker_;
  const Client& client_;
  const Server& server_;
  std::array<Of, 2> of_;  // by role
  prometheus::Histogram reconnect_seconds_;
};

}  // namespace backedpipe
