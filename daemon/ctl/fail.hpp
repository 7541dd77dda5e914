// How every command of backedpipctl reports that it has failed.
#pragma once

#include <iostream>
#include <string_view>

#include "daemon/ctl/exit_code.hpp"

namespace backedpipe::ctl {

// Parts of `message` that come from others have passed through visible(). Returns `code`.
inline ExitCode fail(ExitCode code, std::string_view message) {
  std::cerr << "backedpipctl: " << message << '\n';
  return code;
}

}  // namespace backedpipe::ctl
