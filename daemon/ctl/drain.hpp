// backedpipctl drain: lets a daemon end when its sessions have, and says how far it is.
#pragma once

#include <string>

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Returns when the daemon at `path` has ended, or at once when not asked to wait. A line for each
// change of the number of sessions that are left; with json one object for the beginning only.
ExitCode drain(const std::string& path, const Options& options);

}  // namespace backedpipe::ctl
