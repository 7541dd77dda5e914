// backedpipctl upgrade: has the supervisor replace the daemon by the version that is installed now.
#pragma once

#include <string>

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Blocks until another daemon answers, unless told not to wait. `path` is the control socket's.
ExitCode upgrade(const std::string& path, const Options& options);

}  // namespace backedpipe::ctl
