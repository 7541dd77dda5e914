// Random: the only source of randomness in a simulated world, so that the seed decides everything
// that happens in it.
#pragma once

#include <cstdint>

#include "pipe/time.hpp"

namespace backedpipe::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // splitmix64
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }

  // Both ends included.
  std::uint64_t between(std::uint64_t least, std::uint64_t most) {
    return least + next() % (most - least + 1);
  }
  Duration between(Duration least, Duration most) {
    return Duration(static_cast<std::int64_t>(between(static_cast<std::uint64_t>(least.count()),
                                                      static_cast<std::uint64_t>(most.count()))));
  }
  // Every order of magnitude in between is equally likely, so that small numbers occur often
  // enough.
  std::uint64_t scale(std::uint64_t least, std::uint64_t most) {
    std::uint64_t top = least < 1 ? 1 : least;
    std::uint64_t doublings = 0;
    while ((top << doublings) < most)
      ++doublings;
    top <<= between(0, doublings);
    return between(least, top < most ? top : most);
  }
  bool chance(unsigned percent) { return next() % 100 < percent; }

 private:
  std::uint64_t state_;
};

}  // namespace backedpipe::sim
