// What the benchmarks of the core share.
#pragma once

#include <benchmark/benchmark.h>
#include <chrono>
#include <cstddef>
#include <vector>

#include "pipe/backed_pipe.hpp"

namespace backedpipe::bench {

// A pool over an arena whose pages are there: what is measured is not the kernel giving memory.
class ArenaPool {
 public:
  explicit ArenaPool(std::size_t bytes = std::size_t{64} << 20) : arena_(bytes), pool_(arena_) {}

  SegmentPool& operator*() { return pool_; }
  SegmentPool* operator->() { return &pool_; }

 private:
  std::vector<std::byte> arena_;
  SegmentPool pool_;
};

inline TimePoint at(Duration since_start) {
  return TimePoint{} + since_start;
}

inline void count_bytes(benchmark::State& state, std::size_t each) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(each));
}

}  // namespace backedpipe::bench
