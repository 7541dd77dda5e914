// backedpipctl keygen: makes a new pre-shared key, on standard output or in files for both ends.
#pragma once

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/options.hpp"

namespace backedpipe::ctl {

// Without files the key line goes to standard output. Otherwise nothing secret is printed: the
// client's file is created and must not exist before; the line is added to the server's file, which
// must not have the identity yet. Only their owner can read the files. A failure leaves no
// half-done work behind.
ExitCode keygen(const Options& options);

}  // namespace backedpipe::ctl
