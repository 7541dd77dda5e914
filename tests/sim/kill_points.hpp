// KillPoints: the moments at which a daemon may be killed: before each store that the next process
// may read, and around each call of the system that moves bytes or ends something. One for each
// side, for all of its processes, one after another.
#pragma once

#include <cstdint>
#include <optional>

#include "link.hpp"
#include "pipe/ledger.hpp"

namespace backedpipe::sim {

// Thrown at the point at which the daemon of this side is killed.
struct Killed {
  Side side;
};

class KillPoints final : public Ledger::Watch {
 public:
  explicit KillPoints(Side side) : side_(side) {}

  // The daemon is killed after it has passed `count` more points.
  void arm(std::uint64_t count) { left_ = count; }
  void disarm() { left_.reset(); }
  void pass() {
    if (dead_ || !left_ || (*left_)-- > 0) return;
    left_.reset();
    dead_ = true;
    throw Killed{side_};
  }
  // What is left of a killed process makes no stores.
  bool may_store() override {
    pass();
    return !dead_;
  }
  // The next process has begun.
  void revive() { dead_ = false; }

 private:
  Side side_;
  std::optional<std::uint64_t> left_;
  bool dead_ = false;
};

}  // namespace backedpipe::sim
