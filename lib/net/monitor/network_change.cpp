#include "net/monitor/network_change.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLeastSuspend = seconds(1);
constexpr Duration kFirstGap = milliseconds(10);
constexpr Duration kMostGap = milliseconds(100);
// A burst is over when nothing was reported for this long.
constexpr Duration kQuiet = seconds(1);
// Acknowledgements take 20 ms by design. What is owed for longer than this, and than two round
// trips, was probably lost with the old way.
constexpr Duration kPatience = milliseconds(100);

}  // namespace

bool SuspendWatch::was_suspended(Duration asleep) {
  // The clocks are read one after the other, so their difference varies a little.
  const bool suspended = asleep - asleep_ > kLeastSuspend;
  asleep_ = asleep;
  return suspended;
}

TimePoint ReportPace::due(TimePoint now) const {
  return last_ ? std::max(now, *last_ + gap_) : now;
}

void ReportPace::reported(TimePoint now) {
  const bool goes_on = last_ && now - *last_ < kQuiet;
  gap_ = goes_on ? std::min(2 * gap_, kMostGap) : kFirstGap;
  last_ = now;
}

LinkDoubt doubt(const NetworkChange& change, const LinkFacts& link) {
  if (link.loopback || !change.any()) return LinkDoubt::none;
  if (link.address_gone || change.resumed) return LinkDoubt::distrust;
  const Duration patience = std::max(kPatience, 2 * link.round_trip.value_or(Duration{}));
  return link.owed_for && *link.owed_for >= patience ? LinkDoubt::distrust : LinkDoubt::ask;
}

}  // namespace backedpipe
