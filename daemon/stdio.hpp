// backedpipd stdio: one session between standard input and output and a service, without a daemon
// on this machine. For ssh's ProxyCommand, and for other programs that talk over pipes.
#pragma once

#include <chrono>

#include "config/settings.hpp"

namespace backedpipe {

struct StdioOptions {
  bool quiet = false;  // print nothing about the link, only why it failed
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(30);  // for the first link
  std::string service;
};

// Runs one session to its end; `settings` has exactly one peer. Returns the exit code: 0 when both
// directions have ended and everything has arrived, otherwise 1, with the cause on standard error.
// Throws std::runtime_error when the session cannot begin.
int run_stdio(const Settings& settings, const StdioOptions& options);

}  // namespace backedpipe
