// The exit codes of backedpipctl.
#pragma once

namespace backedpipe::ctl {

enum class ExitCode : int { done = 0, failed = 1, usage = 2, unreachable = 3, peer_down = 4 };

}  // namespace backedpipe::ctl
