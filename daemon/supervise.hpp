// "backedpipd --supervise": a process that starts the daemon as its child, keeps what the next one
// needs, and starts it again when it dies. It reads nothing of the configuration. One thread, no
// handlers: signals are taken from a descriptor, so that all of it is ordinary code.
//
// It exits as the daemon exits. What it passes on, and how it replaces the daemon and itself by a
// new version, is in backedpipd(8).
#pragma once

#include <string>
#include <vector>

namespace backedpipe {

struct Supervision {
  std::vector<std::string> own_command;    // with the program's name: to execute itself anew
  std::vector<std::string> child_command;  // the same without --supervise
  // What makes a new version only say whether it can work with this command line.
  std::string trial_option;
};

// Returns the exit status. Throws std::exception when the daemon cannot be supervised.
int supervise(const Supervision& supervision);

}  // namespace backedpipe
