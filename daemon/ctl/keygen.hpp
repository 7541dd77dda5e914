// backedpipctl keygen: a new pre-shared key, on standard output or in the files of both ends.
#pragma once

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Without files the key line goes to standard output. Otherwise nothing secret is printed: the
// client's file is made, and must not be there yet; to the server's the line is added, unless it
// has that identity. Both are for their owner only. Whatever fails, no half of it is left.
ExitCode keygen(const Options& options);

}  // namespace backedpipe::ctl
