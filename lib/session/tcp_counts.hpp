// Moved: what the system has counted of an application's connection.
#pragma once

#include <cstdint>

namespace backedpipe {

struct Moved {
  std::uint64_t taken = 0;  // bytes read from it
  std::uint64_t given = 0;  // bytes written to it
  bool end_received = false;
  bool end_given = false;
};

}  // namespace backedpipe
