// backedpipctl events: prints each event as one line, as it happens.
#pragma once

#include <string>

#include "daemon/ctl/exit_code.hpp"

namespace backedpipe::ctl {

// Prints until the daemon ends or standard output is closed.
ExitCode print_events(const std::string& path, bool json);

}  // namespace backedpipe::ctl
