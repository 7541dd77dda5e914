// Bytes into the ring and out of it, and the segments behind it.
#include <array>

#include "pipe/ring_buffer.hpp"
#include "support.hpp"

namespace backedpipe::bench {
namespace {

// An application's write is copied in, its acknowledgement lets go of it.
void ring_write_release(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  ArenaPool pool;
  RingBuffer ring(*pool, SegmentPool::Use::outbound, std::size_t{16} << 20);
  const std::vector<std::byte> bytes(size, std::byte{1});
  for ([[maybe_unused]] auto unused : state) {
    ring.write(bytes);
    ring.release(ring.end());
  }
  count_bytes(state, size);
}
BENCHMARK(ring_write_release)
    ->Arg(1)
    ->Arg(64)
    ->Arg(1 << 10)
    ->Arg(16 << 10)
    ->Arg(256 << 10)
    ->Arg(1 << 20);

// The same as sockets do it: memory is lent, filled elsewhere, read as a scatter list, and let go
// of.
void ring_prepare_commit_read(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  ArenaPool pool;
  RingBuffer ring(*pool, SegmentPool::Use::outbound, std::size_t{16} << 20);
  std::array<MutableBytes, 32> room;
  std::array<ConstBytes, 32> pieces;
  for ([[maybe_unused]] auto unused : state) {
    benchmark::DoNotOptimize(ring.prepare(size, room));
    ring.commit(size);
    benchmark::DoNotOptimize(ring.read(ring.begin(), size, pieces));
    ring.release(ring.end());
  }
}
BENCHMARK(ring_prepare_commit_read)->Arg(1)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20);

// A long ring that moves along: acknowledgements come much later than the bytes.
void ring_write_behind_backlog(benchmark::State& state) {
  constexpr std::size_t kStep = std::size_t{64} << 10;
  const auto backlog = static_cast<std::size_t>(state.range(0));
  ArenaPool pool(std::size_t{128} << 20);
  RingBuffer ring(*pool, SegmentPool::Use::outbound, std::size_t{64} << 20);
  const std::vector<std::byte> bytes(kStep, std::byte{1});
  while (ring.size() < backlog) {
    // The pool gives a single ring no more than its share.
    if (ring.write(bytes) == 0) {
      state.SkipWithError("the backlog does not fit");
      return;
    }
  }
  for ([[maybe_unused]] auto unused : state) {
    ring.write(bytes);
    ring.release(ring.begin() + kStep);
  }
  count_bytes(state, kStep);
}
BENCHMARK(ring_write_behind_backlog)->Arg(256 << 10)->Arg(4 << 20)->Arg(32 << 20);

void pool_allocate_free(benchmark::State& state) {
  ArenaPool pool;
  std::vector<SegmentIndex> held;
  const auto together = static_cast<std::size_t>(state.range(0));
  for ([[maybe_unused]] auto unused : state) {
    while (held.size() < together)
      held.push_back(*pool->allocate(SegmentPool::Use::outbound, held.size()));
    for (; !held.empty(); held.pop_back())
      pool->free(held.back(), SegmentPool::Use::outbound);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(pool_allocate_free)->Arg(1)->Arg(64);

}  // namespace
}  // namespace backedpipe::bench
