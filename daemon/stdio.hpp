// backedpipd stdio: one session between standard input and output and a service, without a daemon
// on this machine. For ssh's ProxyCommand, and for whatever else talks to a program.
#pragma once

#include <chrono>

#include "config/settings.hpp"

namespace backedpipe {

struct StdioOptions {
  bool quiet = false;  // nothing about the link, only why it failed
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(30);  // to the first link
  std::string service;
};

// Carries one session to its end; `settings` have one peer. Returns the exit code: 0 when both
// directions have ended and everything has arrived, else 1, said on standard error. Throws
// std::runtime_error when it cannot begin.
int run_stdio(const Settings& settings, const StdioOptions& options);

}  // namespace backedpipe
