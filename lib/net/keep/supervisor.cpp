#include "net/keep/supervisor.hpp"

#include <unistd.h>

#include "net/keep/environment.hpp"

namespace backedpipe {

std::optional<pid_t> supervisor() {
  const pid_t parent = ::getppid();
  const auto named = whole_number(environment(kSupervisorVariable));
  if (parent <= 0 || named != static_cast<std::uint64_t>(parent)) return std::nullopt;
  return parent;
}

}  // namespace backedpipe
