// The commands of backedpipctl.
#pragma once

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Carries out one command. Results go to standard output, everything else to standard error.
ExitCode run(const Options& options);

}  // namespace backedpipe::ctl
