// FrameBudget: how many frames without news a link may bring. A PING asks for work, and an
// acknowledgement, a window or data that was received before changes nothing: an honest peer sends
// a few of these per second, and a link that carried nothing else could keep a core busy. Beyond
// the budget the link is not read for a while. TCP then holds up the sender, and nothing is lost.
//
// The budget fills at a constant rate, up to one second's worth. What one read brings may exceed
// it, but the debt is bounded too, so that a link is never silent for long enough to be doubted.
// Part of a LinkState; no I/O, no clock.
#pragma once

#include <algorithm>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

class FrameBudget {
 public:
  static constexpr int kFramesPerSecond = 10000;
  static constexpr Duration kBurst = std::chrono::seconds(1);
  static constexpr Duration kMostDebt = std::chrono::milliseconds(250);

  // One frame without news.
  void spend(TimePoint now) {
    constexpr Duration kFrame = kBurst / kFramesPerSecond;
    full_at_ = std::min(std::max(full_at_, now) + kFrame, now + kBurst + kMostDebt);
  }
  // Until when the link is not to be read; nothing: it may be read now.
  std::optional<TimePoint> pause(TimePoint now) const {
    if (full_at_ - kBurst <= now) return std::nullopt;
    return full_at_ - kBurst;
  }
  // More than half of the budget is spent: small reads keep the debt small.
  bool low(TimePoint now) const { return full_at_ - kBurst / 2 > now; }

 private:
  // When the budget will be full again, if nothing more is spent (GCRA, ITU-T I.371).
  TimePoint full_at_{};
};

}  // namespace backedpipe
