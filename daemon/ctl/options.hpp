// The command line of backedpipctl.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/checked.hpp"

namespace backedpipe::ctl {

enum class Command {
  help,
  version,
  status,
  sessions,
  session,
  reconnect,
  close,
  reload,
  keygen,
  check
};

struct Options {
  Command command = Command::help;
  std::optional<std::string> socket;  // as given; see default_socket_path()
  bool json = false;
  std::string argument;  // the session's id, the identity or the file; of reconnect: empty for all
};

// `arguments` without the program's name. The error is a sentence about what is wrong with them.
Checked<Options> parse_options(const std::vector<std::string>& arguments);

std::string help_text();

// Where the daemon's control socket is when nobody says so. Both arguments are what the environment
// holds, or empty.
std::string default_socket_path(std::string_view backedpipd_socket,
                                std::string_view xdg_runtime_dir);

}  // namespace backedpipe::ctl
