// The file descriptors of this process: how many it may have, and how many its settings need.
#pragma once

#include <cstddef>

#include "config/settings.hpp"
#include "session/descriptor_plan.hpp"

namespace backedpipe {

// What is open now, apart from listeners, and what else will stay open: nothing that sessions need.
// To be asked at the start, before there is any connection.
std::size_t descriptors_in_use();
// The soft limit, RLIMIT_NOFILE.
std::size_t descriptor_limit();

DescriptorDemand descriptor_demand(const Settings& settings, std::size_t workers,
                                   std::size_t in_use);
// The settings with the limits that the plan allows; max_sessions is for dialled sessions.
Settings fit(Settings settings, const DescriptorPlan& plan, std::size_t workers);
// Warns if the plan allows fewer sessions, handshakes or spare links than the settings.
void warn_of_shortage(const Settings& settings, const DescriptorPlan& plan, std::size_t workers);

}  // namespace backedpipe
