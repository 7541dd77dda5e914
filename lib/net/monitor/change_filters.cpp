#include "net/monitor/change_filters.hpp"

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

}  // namespace backedpipe
