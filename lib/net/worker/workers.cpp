#include "net/worker/workers.hpp"

#include <algorithm>
#include <atomic>

#include "net/thread/blocked_signals.hpp"
#include "net/thread/event_loop.hpp"

namespace backedpipe {
namespace {

// Each worker's arena is as large as all of the memory, but address space is finite as well.
constexpr std::size_t kMostAddressSpace = std::size_t{1} << 45;

}  // namespace

Workers::Workers(SharedState& shared, std::size_t count, std::size_t memory_bytes,
                 const SessionOptions& options, Continuity* continuity) {
  for (std::size_t i = 0; i < count; ++i) {
    WorkerLedger* const ledger = continuity == nullptr ? nullptr : &continuity->ledger(i);
    workers_.push_back(
        std::make_unique<Worker>(shared, i, arena_bytes(count, memory_bytes), options, ledger));
  }
}

std::size_t Workers::arena_bytes(std::size_t count, std::size_t memory_bytes) {
  return std::min(memory_bytes, kMostAddressSpace / count);
}

Workers::~Workers() {
  stop();
}

void Workers::start() {
  const BlockedSignals blocked;
  for (const auto& worker : workers_) {
    work_.emplace_back(worker->io.get_executor());
    threads_.emplace_back([&io = worker->io] { run_events(io); });
  }
}

void Workers::ask(const std::function<void()>& all_are) {
  const auto left = std::make_shared<std::atomic<std::size_t>>(size());
  for (const auto& worker : workers_) {
    boost::asio::post(worker->io, [left, all_are] {
      if (--*left == 0) all_are();
    });
  }
}

void Workers::stop() {
  for (const auto& worker : workers_)
    worker->io.stop();
  for (std::thread& thread : threads_)
    thread.join();
  threads_.clear();
  work_.clear();
}

}  // namespace backedpipe
