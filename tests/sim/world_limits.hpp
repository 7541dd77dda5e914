// Limits and names that the parts of a World share.
#pragma once

#include <chrono>

#include "pipe/time.hpp"

namespace backedpipe::sim {

// How long a daemon that parks has to tell its peers.
constexpr Duration kPartsFor = std::chrono::milliseconds(300);

constexpr const char* kIdentity = "laptop";
constexpr const char* kService = "ssh";
// The most time from the last fault to the end of everything: detecting a dead link, a dial that
// hung, the longest backoff, and the transfer itself on the slowest link.
constexpr Duration kGrace = std::chrono::minutes(4);
constexpr Duration kForGood = std::chrono::hours(1000);
constexpr unsigned kMostStepsPerSecond = 60'000;
constexpr unsigned kMostDialsPerSecond = 60;
constexpr unsigned kMostRoundsPerStep = 20'000;

}  // namespace backedpipe::sim
