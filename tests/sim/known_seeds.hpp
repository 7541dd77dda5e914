// Seeds that once failed, with the cause. They run first, so that a repaired fault stays repaired.
// A change to the plan or the world gives old seeds a new meaning: after such a change, plant the
// cause again and look for a seed that finds it.
#pragma once

#include <cstdint>

namespace backedpipe::sim {

struct KnownSeed {
  std::uint64_t seed;
  const char* cause;
};

inline constexpr KnownSeed kKnownSeeds[] = {
    {6, "a WELCOME for an attempt that had been given up attached a link that was closed already"},
    {8, "the server took the client's reset for its own application's, which was never told"},
    {12,
     "a client refused with \"closed\", because only the last acknowledgement was lost, reset its "
     "application"},
    {25961,
     "a reset discarded what was received, and then passed the end of the stream on as if nothing "
     "were missing"},
    {40276, "a candidate was given up in the name of a link that had been lost since"},
    {44774, "a candidate was dialled beside a link that had been lost since"},
    {83476, "a restored window granted more for bytes that a reset had discarded"},
    {1408539, "a candidate was given up in the same moment in which its link's daemon parted"},
    {1421047,
     "a daemon was killed after it had taken an application's error and before it had recorded "
     "that"},
};

}  // namespace backedpipe::sim
