// One request to the daemon and its answer, over the control socket.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "config/checked.hpp"

namespace backedpipe::ctl {

// Why there was no answer, and what the user can do about it.
struct Unreachable {
  std::string problem;
  std::string advice;
};

// Sends one line (given without its newline) to the Unix socket at `path` and returns the line that
// comes back. `timeout` covers the whole exchange. Blocks.
Checked<std::string, Unreachable> ask(const std::string& path, std::string_view request,
                                      std::chrono::milliseconds timeout);

// The same, but passes every line to `on_line`, first the answer and then all further lines, until
// `on_line` returns false or the daemon closes the connection. `timeout` covers only the answer.
// Blocks.
std::optional<Unreachable> follow(const std::string& path, std::string_view request,
                                  std::chrono::milliseconds timeout,
                                  const std::function<bool(const std::string& line)>& on_line);

}  // namespace backedpipe::ctl
