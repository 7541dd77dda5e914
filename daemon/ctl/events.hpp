// backedpipctl events: one line for each thing that happens, as it happens.
#pragma once

#include <string>

#include "daemon/ctl/exit_code.hpp"

namespace backedpipe::ctl {

// Prints until the daemon ends or nobody reads any more.
ExitCode print_events(const std::string& path, bool json);

}  // namespace backedpipe::ctl
