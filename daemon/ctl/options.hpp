// The command line of backedpipctl.
#pragma once

#include <chrono>
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
  events,
  watch,
  reconnect,
  close,
  reload,
  drain,
  stop,
  upgrade,
  log_level,
  keygen,
  check
};

// Which sessions to show; an empty field matches all.
struct Filter {
  std::string tunnel;
  std::string service;
  std::string peer;
  std::string state;
};

struct Options {
  Command command = Command::help;
  std::optional<std::string> socket;  // as given; see default_socket_path()
  bool json = false;
  // The session's id, the identity, the level or the file. Empty: for reconnect all sessions, for
  // log-level a query.
  std::string argument;
  Filter filter;     // sessions, watch
  std::string sort;  // sessions, watch: the name of a SortKey, or empty
  bool reverse = false;
  std::optional<std::string> client_file;            // keygen
  std::optional<std::string> server_file;            // keygen
  std::optional<std::chrono::milliseconds> timeout;  // drain
  bool wait = true;                                  // drain, stop, upgrade: until it has happened
  std::chrono::milliseconds interval{1000};          // watch
};

// `arguments` does not include the program's name. An error is a sentence.
Checked<Options> parse_options(const std::vector<std::string>& arguments);

std::string help_text();

// Where the daemon's control socket is without --socket. The arguments are the values of these
// environment variables, or empty.
std::string default_socket_path(std::string_view backedpipd_socket,
                                std::string_view xdg_runtime_dir);

}  // namespace backedpipe::ctl
