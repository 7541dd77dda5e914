// The command line of backedpipd, turned into settings.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/config_error.hpp"
#include "config/settings.hpp"
#include "daemon/stdio.hpp"

namespace backedpipe {

struct Command {
  enum class Kind { run, check, print, stdio, supervise };
  Kind kind = Kind::run;
  std::string text;       // print: help or version
  std::string file;       // check, supervise: the configuration's path, if there is one
  ConfigErrors warnings;  // check: what will soon become an error
  Settings settings;
  // run: reads the settings again, for a reload. Throws like parse_command_line().
  std::function<Settings()> reread;
  StdioOptions stdio{};
  // supervise: the arguments without --supervise. What they say has not been read.
  std::vector<std::string> supervised{};
};

// The command line is wrong: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws UsageError, or std::runtime_error when the configuration file is wrong (with every error,
// one a line).
Command parse_command_line(int argc, const char* const* argv);

}  // namespace backedpipe
