// For systems on which there is no supervisor.
#include <stdexcept>

#include "daemon/supervise.hpp"

namespace backedpipe {

int supervise(const Supervision&) {
  throw std::runtime_error("--supervise needs Linux");
}

}  // namespace backedpipe
