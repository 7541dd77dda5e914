// The descriptors that this process was started with, from 3 on: sd_listen_fds_with_names(3).
#pragma once

#include <string>
#include <vector>

namespace backedpipe {

struct PassedDescriptor {
  std::string name;  // empty when it was passed without a name
  int descriptor = -1;
};

// From LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, in their order. The caller must close them, and
// may call this only once. Throws std::runtime_error when one of them is not open.
std::vector<PassedDescriptor> passed_descriptors();

}  // namespace backedpipe
