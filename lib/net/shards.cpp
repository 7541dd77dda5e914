#include "net/shards.hpp"

#include <algorithm>
#include <atomic>

#include "net/blocked_signals.hpp"
#include "net/event_loop.hpp"

namespace backedpipe {
namespace {

// Each worker could come to use all of the memory, and address space is finite as well.
constexpr std::size_t kMostAddressSpace = std::size_t{1} << 45;

}  // namespace

Shards::Shards(Commons& commons, std::size_t count, std::size_t memory_bytes,
               const SessionOptions& options) {
  for (std::size_t i = 0; i < count; ++i) {
    shards_.push_back(std::make_unique<Shard>(
        commons, i, std::min(memory_bytes, kMostAddressSpace / count), options));
  }
}

Shards::~Shards() {
  stop();
}

void Shards::start() {
  const BlockedSignals blocked;
  for (const auto& shard : shards_) {
    work_.emplace_back(shard->io.get_executor());
    threads_.emplace_back([&io = shard->io] { run_events(io); });
  }
}

void Shards::ask(const std::function<void()>& all_are) {
  const auto left = std::make_shared<std::atomic<std::size_t>>(size());
  for (const auto& shard : shards_) {
    boost::asio::post(shard->io, [left, all_are] {
      if (--*left == 0) all_are();
    });
  }
}

void Shards::stop() {
  for (const auto& shard : shards_)
    shard->io.stop();
  for (std::thread& thread : threads_)
    thread.join();
  threads_.clear();
  work_.clear();
}

}  // namespace backedpipe
