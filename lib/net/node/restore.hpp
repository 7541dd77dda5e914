// Restores the sessions that the process before this one has left: finds each session's connection
// in the vault, asks the system how much has passed on it, and puts the session into the table of a
// worker. What cannot be continued is reset, and said in the log. Runs before the workers' threads
// do.
#pragma once

#include <cstddef>

#include "net/keep/continuity.hpp"
#include "net/shared/shared_state.hpp"
#include "net/worker/workers.hpp"
#include "session/crash_loop.hpp"

namespace backedpipe {

struct Restored {
  std::size_t sessions = 0;
  std::size_t lost = 0;  // could not be continued
};

// Precondition: something was left.
Restored restore_sessions(Continuity& continuity, Workers& workers, SharedState& shared,
                          const RestorePlan& plan);

}  // namespace backedpipe
