// What the workers of a daemon look like to people: values for the control socket. Each function
// that takes a Worker is for its thread.
#pragma once

#include <optional>
#include <vector>

#include "control/snapshots.hpp"
#include "net/worker/workers.hpp"

namespace backedpipe {

std::vector<SessionSnapshot> sessions_of(const Worker& worker);
// With its history.
std::optional<SessionSnapshot> session_of(const Worker& worker, const SessionId& id);

// Its part of sessions, tunnels, peers, listeners and totals; the rest is not its matter.
StatusSnapshot status_of(const Worker& worker);
// Adds another one's part.
void add(StatusSnapshot& sum, const StatusSnapshot& part);

}  // namespace backedpipe
