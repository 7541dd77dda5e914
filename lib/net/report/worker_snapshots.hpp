// Snapshots of the workers of a daemon, for the control socket. A function that takes a Worker runs
// on its thread.
#pragma once

#include <optional>
#include <vector>

#include "control/snapshots.hpp"
#include "net/worker/workers.hpp"

namespace backedpipe {

std::vector<SessionSnapshot> sessions_of(const Worker& worker);
// One session, with its history.
std::optional<SessionSnapshot> session_of(const Worker& worker, const SessionId& id);

// The worker's part of sessions, tunnels, peers, listeners and totals; the other fields stay empty.
StatusSnapshot status_of(const Worker& worker);
// Adds the part of another worker.
void add(StatusSnapshot& sum, const StatusSnapshot& part);

}  // namespace backedpipe
