#include "session/descriptor_plan.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

constexpr std::size_t kPartsForHandshakes = 8;
constexpr std::size_t kPartsForSpareLinks = 16;

// One part in `parts` of what is free, but not less than `least` and not more than is wanted.
std::size_t share(std::size_t wanted, std::size_t free, std::size_t parts, std::size_t least) {
  return std::min(wanted, std::max(free / parts, least));
}

}  // namespace

DescriptorPlan plan_descriptors(const DescriptorDemand& demand) {
  using Plan = DescriptorPlan;
  Plan plan;
  const std::size_t handshakes = demand.accepts ? demand.max_handshakes : 0;
  // With both roles each gets one half, and the larger one must suffice.
  const std::size_t for_each_session = std::max<std::size_t>(
      demand.dials ? Plan::kPerDialledSession : 0, demand.accepts ? Plan::kPerAcceptedSession : 0);
  const std::size_t roles = demand.dials && demand.accepts ? 2 : 1;
  const std::size_t for_all_sessions = demand.max_sessions * for_each_session * roles;
  const std::size_t for_all = Plan::kMostControl + Plan::kMostMetrics + Plan::kMostClosing +
                              handshakes + demand.spare_links + for_all_sessions;
  plan.needed = demand.fixed + std::max({for_all, handshakes * kPartsForHandshakes,
                                         demand.spare_links * kPartsForSpareLinks});

  const std::size_t free = demand.limit - std::min(demand.limit, demand.fixed);
  plan.control = share(Plan::kMostControl, free, 16, 8);
  plan.metrics = share(Plan::kMostMetrics, free, 32, 4);
  plan.closing = share(Plan::kMostClosing, free, 16, 2);
  plan.handshakes = share(handshakes, free, kPartsForHandshakes, 4);
  plan.spare_links = share(demand.spare_links, free, kPartsForSpareLinks, 0);

  const std::size_t others =
      plan.control + plan.metrics + plan.closing + plan.handshakes + plan.spare_links;
  const std::size_t left = free - std::min(free, others);
  const std::size_t for_each_role = demand.dials && demand.accepts ? left / 2 : left;
  const auto sessions = [&](bool wanted, std::size_t each) {
    const std::size_t possible = std::max<std::size_t>(for_each_role / each, 1);
    return wanted ? std::min(demand.max_sessions, possible) : 0;
  };
  plan.dialled_sessions = sessions(demand.dials, Plan::kPerDialledSession);
  plan.accepted_sessions = sessions(demand.accepts, Plan::kPerAcceptedSession);
  return plan;
}

std::size_t default_sessions_per_identity(std::size_t max_sessions, bool only_identity) {
  return only_identity ? max_sessions : (max_sessions + 1) / 2;
}

}  // namespace backedpipe
