// One request to the daemon and its answer, over the control socket.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
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

// The same, and then whatever lines come until the daemon closes the connection: each is given to
// `on_line`, the answer first, until that says false. `timeout` is for the answer. Blocks.
std::optional<Unreachable> follow(const std::string& path, std::string_view request,
                                  std::chrono::milliseconds timeout,
                                  const std::function<bool(const std::string& line)>& on_line);

}  // namespace backedpipe::ctl
