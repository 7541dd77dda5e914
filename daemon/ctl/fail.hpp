// How each command of backedpipctl says that it has failed.
#pragma once

#include <iostream>
#include <string_view>

#include "daemon/ctl/exit_code.hpp"

namespace backedpipe::ctl {

// `message` has been made visible where others have written parts of it. Returns `code`.
inline ExitCode fail(ExitCode code, std::string_view message) {
  std::cerr << "backedpipctl: " << message << '\n';
  return code;
}

}  // namespace backedpipe::ctl
