// What the commands of backedpipctl do.
#pragma once

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Carries out one command: results to standard output, all else to standard error.
ExitCode run(const Options& options);

}  // namespace backedpipe::ctl
