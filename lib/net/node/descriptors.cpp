#include "net/node/descriptors.hpp"

#include <algorithm>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include <spdlog/spdlog.h>

namespace backedpipe {
namespace {

// The control socket, metrics, the network monitor, lookups of names, a log that is opened later.
constexpr std::size_t kOpenedLater = 8;

}  // namespace

std::size_t descriptors_in_use() {
  // A new descriptor gets the lowest free number, and at the start there are no gaps.
  const int lowest_free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (lowest_free < 0) return descriptor_limit();
  ::close(lowest_free);
  return static_cast<std::size_t>(lowest_free) + kOpenedLater;
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;  // what every system has
  return limit.rlim_cur;
}

DescriptorDemand descriptor_demand(const Settings& settings, std::size_t workers,
                                   std::size_t in_use) {
  const Limits& limits = settings.limits;
  // Each worker has a socket for each link listener; one of them listens for applications.
  const std::size_t listeners = (settings.accept.size() + settings.tunnels.size()) * workers;
  const std::size_t of_workers = settings.accept.empty() ? 0 : workers;
  return {.limit = descriptor_limit(),
          .fixed = in_use + listeners,
          .dials = !settings.tunnels.empty(),
          .accepts = !settings.accept.empty(),
          .max_sessions = limits.max_sessions,
          .max_handshakes = limits.max_handshakes,
          .spare_links = limits.spare_links * (settings.peers.size() + of_workers)};
}

Settings fit(Settings settings, const DescriptorPlan& plan, std::size_t workers) {
  const std::size_t keepers = settings.peers.size() + (settings.accept.empty() ? 0 : workers);
  Limits& limits = settings.limits;
  if (keepers > 0) limits.spare_links = std::min(limits.spare_links, plan.spare_links / keepers);
  if (!settings.accept.empty()) {
    limits.max_handshakes = std::min(limits.max_handshakes, plan.handshakes);
  }
  if (!settings.tunnels.empty()) limits.max_sessions = plan.dialled_sessions;
  return settings;
}

void warn_of_shortage(const Settings& settings, const DescriptorPlan& plan) {
  const std::size_t wanted = settings.limits.max_sessions;
  const auto warn = [&](std::size_t possible, const char* what) {
    if (possible >= wanted) return;
    spdlog::warn(
        "limits.max_sessions is {}, which needs {} file descriptors, and this process may have {}: "
        "it {} {} sessions at most. Set LimitNOFILE={} in its systemd unit, or \"ulimit -n {}\" "
        "before it starts, or lower max_sessions",
        wanted, plan.needed, descriptor_limit(), what, possible, plan.needed, plan.needed);
  };
  if (!settings.tunnels.empty()) warn(plan.dialled_sessions, "opens");
  if (!settings.accept.empty()) warn(plan.accepted_sessions, "accepts");
}

}  // namespace backedpipe
