// One request to the daemon and its answer, over the control socket.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "config/checked.hpp"

namespace backedpipe::ctl {

// Why there was no answer, and what somebody can do about it.
struct Unreachable {
  std::string problem;
  std::string advice;
};

// Sends one line (without a newline) to the Unix socket at `path` and returns the line that comes
// back. `timeout` is for all of it together. Blocks.
Checked<std::string, Unreachable> ask(const std::string& path, std::string_view request,
                                      std::chrono::milliseconds timeout);

}  // namespace backedpipe::ctl
