// Readiness: what a SessionPump may believe about an end. It may try the end only if it was told
// that the end is ready and has not learned otherwise since.
#pragma once

#include "checks.hpp"

namespace backedpipe::sim {

struct Readiness {
  bool read = true;
  bool write = true;

  void tries_to_read() const {
    require(read, "an end is read only when it may be ready", "it has nothing");
  }
  void tries_to_write() const {
    require(write, "an end is written only when it may be ready", "it takes nothing");
  }
};

}  // namespace backedpipe::sim
