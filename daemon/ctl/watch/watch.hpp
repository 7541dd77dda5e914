// backedpipctl watch: the sessions and peers of a daemon on the whole screen, as they change.
#pragma once

#include <chrono>
#include <string>

#include "daemon/ctl/exit_code.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/session_order.hpp"

namespace backedpipe::ctl {

struct WatchSettings {
  std::string path;     // of the control socket
  Json session_filter;  // parameters of the method "sessions"
  SortKey sort;
  bool reverse = false;
  std::chrono::milliseconds interval{1000};
};

// Runs until a key or a signal ends it. Fails at once when standard input and output are not a
// terminal, or when the daemon cannot be reached at the start. Later it waits for the daemon.
ExitCode watch(const WatchSettings& settings);

}  // namespace backedpipe::ctl
