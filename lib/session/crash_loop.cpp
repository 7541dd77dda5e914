#include "session/crash_loop.hpp"

#include <algorithm>
#include <limits>

namespace backedpipe {
namespace {

RestorePlan::Way way_after(std::uint32_t starts) {
  if (starts >= CrashLoop::kResetAllAfter) return RestorePlan::Way::not_at_all;
  if (starts >= CrashLoop::kOneByOneAfter) return RestorePlan::Way::one_by_one;
  return RestorePlan::Way::together;
}

}  // namespace

bool CrashLoop::is_suspect(const SessionId& session) const {
  const std::size_t count = std::min<std::size_t>(suspect_count, suspects.size());
  const auto end = suspects.begin() + static_cast<std::ptrdiff_t>(count);
  return std::find(suspects.begin(), end, session) != end;
}

RestorePlan plan_restore(const CrashLoop& left) {
  RestorePlan plan{.way = way_after(left.starts), .now = left};
  CrashLoop& now = plan.now;
  if (left.starts < std::numeric_limits<std::uint32_t>::max()) ++now.starts;
  now.is_in_turn = 0;
  // Nobody is suspected of the first deaths. After the last ones all are reset.
  if (plan.way != RestorePlan::Way::one_by_one) {
    now.suspect_count = 0;
  } else if (left.is_in_turn != 0 && now.suspect_count < now.suspects.size()) {
    now.suspects[now.suspect_count++] = left.in_turn;
  }
  return plan;
}

}  // namespace backedpipe
