// The process of "backedpipd --supervise" that has started this one, if there is one.
#pragma once

#include <optional>
#include <sys/types.h>

namespace backedpipe {

// The supervisor's process id, which it sets for its child. Whatever that child starts inherits it.
inline constexpr char kSupervisorVariable[] = "BACKEDPIPE_SUPERVISOR";

// What a daemon tells its service manager when it leaves its sessions to the next process; a
// supervisor starts that one at once.
inline constexpr char kParkingMessage[] = "X_BACKEDPIPE_PARKING=1";

// Nothing when the parent of this process is not a supervisor, or is gone.
std::optional<pid_t> supervisor();

}  // namespace backedpipe
