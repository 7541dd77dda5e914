// What a change of the network means for the links that a worker has dialled: each is asked whether
// it still answers, or no longer trusted.
#pragma once

#include <cstddef>
#include <vector>

#include "net/monitor/network_change.hpp"

namespace backedpipe {

class Client;

// How many links have lost our trust, or have to show that they deserve it.
struct Doubted {
  std::size_t distrusted_count = 0;
  std::size_t asked_count = 0;
};

// On the client's thread, once the gates know of the change.
Doubted apply(const NetworkChange& change, Client& client);
// One line for the log, about the clients of all workers.
void log_change(const NetworkChange& change, const std::vector<Doubted>& doubted);

}  // namespace backedpipe
