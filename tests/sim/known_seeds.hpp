// Seeds that once failed, with the cause. They run first, so that what was mended stays mended. A
// change to the plan or the world gives old seeds new meanings; they are kept all the same.
#pragma once

#include <cstdint>

namespace backedpipe::sim {

struct KnownSeed {
  std::uint64_t seed;
  const char* cause;
};

inline constexpr KnownSeed kKnownSeeds[] = {
    {1, "none: the first"},
};

}  // namespace backedpipe::sim
