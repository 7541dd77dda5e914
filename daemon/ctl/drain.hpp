// backedpipctl drain and stop: let a daemon end once its sessions have ended, or with them, and show
// the progress.
#pragma once

#include <string>

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Returns when the daemon at `path` has ended, or at once if options.wait is false. Prints a line
// whenever the number of sessions changes; with json only one object, at the start.
ExitCode drain(const std::string& path, const Options& options);
ExitCode stop(const std::string& path, const Options& options);

}  // namespace backedpipe::ctl
