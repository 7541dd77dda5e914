// SharedBudget: the memory budget of all workers' pools.
#pragma once

#include <atomic>
#include <cstddef>

#include "pipe/memory_budget.hpp"

namespace backedpipe {

class SharedBudget final : public MemoryBudget {
 public:
  explicit SharedBudget(std::size_t segment_count) : MemoryBudget(segment_count) {}

  bool take(bool outbound) override {
    if (in_use_.fetch_add(1, std::memory_order_relaxed) >= segment_count()) {
      in_use_.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    if (outbound) outbound_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  void give_back(bool outbound) override {
    if (outbound) outbound_.fetch_sub(1, std::memory_order_relaxed);
    in_use_.fetch_sub(1, std::memory_order_relaxed);
  }
  std::size_t in_use() const override { return in_use_.load(std::memory_order_relaxed); }
  std::size_t outbound() const override { return outbound_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> in_use_{0};
  std::atomic<std::size_t> outbound_{0};
};

}  // namespace backedpipe
