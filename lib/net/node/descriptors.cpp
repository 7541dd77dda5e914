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

// Who keeps spare links: a client for each peer, a server in each worker.
std::size_t keepers_of_spare_links(const Settings& settings, std::size_t workers) {
  return settings.peers.size() + (settings.accept.empty() ? 0 : workers);
}

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
  // Each worker has a socket for each listener, of links and of applications.
  const std::size_t listeners = (settings.accept.size() + settings.tunnels.size()) * workers;
  return {.limit = descriptor_limit(),
          .fixed = in_use + listeners,
          .dials = !settings.tunnels.empty(),
          .accepts = !settings.accept.empty(),
          .max_sessions = limits.max_sessions,
          .max_handshakes = limits.max_handshakes,
          .spare_links = limits.spare_links * keepers_of_spare_links(settings, workers)};
}

Settings fit(Settings settings, const DescriptorPlan& plan, std::size_t workers) {
  const std::size_t keepers = keepers_of_spare_links(settings, workers);
  Limits& limits = settings.limits;
  if (keepers > 0) limits.spare_links = std::min(limits.spare_links, plan.spare_links / keepers);
  if (!settings.accept.empty()) {
    limits.max_handshakes = std::min(limits.max_handshakes, plan.handshakes);
  }
  if (!settings.tunnels.empty()) limits.max_sessions = plan.dialled_sessions;
  return settings;
}

void warn_of_shortage(const Settings& settings, const DescriptorPlan& plan, std::size_t workers) {
  const Limits& limits = settings.limits;
  const Limits fitting = fit(settings, plan, workers).limits;
  std::string fewer;
  const auto compare = [&](const char* name, std::size_t possible, std::size_t wanted) {
    if (possible >= wanted) return;
    if (!fewer.empty()) fewer += ", ";
    fewer += name + (" is " + std::to_string(possible)) + " instead of " + std::to_string(wanted);
  };
  compare("limits.max_handshakes", fitting.max_handshakes, limits.max_handshakes);
  compare("limits.spare_links", fitting.spare_links, limits.spare_links);
  if (!fewer.empty()) {
    spdlog::warn("this process may have {} file descriptors, and needs {} for its settings: {}",
                 descriptor_limit(), plan.needed, fewer);
  }
  const std::size_t wanted = limits.max_sessions;
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
