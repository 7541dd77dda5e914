#include "net/memory/memory_waiters.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace backedpipe {
namespace {

// Segments are freed one by one: wait until there are enough to share.
constexpr auto kWakeAfter = std::chrono::milliseconds(2);
constexpr std::size_t kAtOnce = 64;
// Other pools give memory back to the shared budget without a report, so look for it this often.
constexpr auto kLookEvery = std::chrono::milliseconds(20);

}  // namespace

void MemoryWaiters::add(std::function<void()> wake) {
  waiting_.push_back(std::move(wake));
  watch();
}

void MemoryWaiters::watch() {
  if (std::exchange(watching_, true)) return;
  pool_.when_freed([this] { freed(); });
  if (pool_.shares_budget()) look_later();
}

void MemoryWaiters::look_later() {
  look_timer_.expires_after(kLookEvery);
  look_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && watching_) freed();
  });
}

void MemoryWaiters::freed() {
  watching_ = false;
  // Every session gets a turn: one may be at its limit while the next is not.
  to_wake_ = waiting_.size();
  wake_later();
}

void MemoryWaiters::wake_later() {
  if (std::exchange(waking_, true)) return;
  timer_.expires_after(kWakeAfter);
  timer_.async_wait([this](const boost::system::error_code& error) {
    waking_ = false;
    if (!error) wake_some();
  });
}

void MemoryWaiters::wake_some() {
  const auto count = static_cast<std::ptrdiff_t>(std::min(to_wake_, kAtOnce));
  const auto end = waiting_.begin() + count;
  const std::vector<std::function<void()>> turn(std::make_move_iterator(waiting_.begin()),
                                                std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  to_wake_ -= turn.size();
  if (!waiting_.empty()) watch();
  if (to_wake_ > 0) wake_later();
  for (const auto& wake : turn)
    wake();
}

}  // namespace backedpipe
