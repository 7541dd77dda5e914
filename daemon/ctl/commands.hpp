// What the commands of backedpipctl do.
#pragma once

#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

enum class ExitCode : int { done = 0, failed = 1, usage = 2, unreachable = 3 };

// Carries out one command: results to standard output, all else to standard error.
ExitCode run(const Options& options);

}  // namespace backedpipe::ctl
