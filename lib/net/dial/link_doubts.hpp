// What a change of the network means for the links of one worker's sessions: each link is left
// alone, asked for an answer, or no longer trusted. Liveness decides; this file carries it out, on
// the worker's thread.
#pragma once

#include <cstddef>
#include <vector>

#include "net/monitor/local_addresses.hpp"
#include "net/session/session_table.hpp"
#include "session/liveness.hpp"

namespace backedpipe {

// How many links are no longer trusted, and how many were asked for an answer.
struct Doubted {
  std::size_t distrusted_count = 0;
  std::size_t asked_count = 0;
};

// `addresses`: this machine's current ones.
Doubted doubt_links(const NetworkChange& change, const LocalAddresses& addresses,
                    const SessionTable& sessions);
// One line for the log, about the links of all workers.
void log_change(const NetworkChange& change, const std::vector<Doubted>& doubted);

}  // namespace backedpipe
