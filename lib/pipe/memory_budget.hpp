// MemoryBudget: how many segments a pool may have in use, and how many are in use. Several pools
// may share one, from their own threads. Then take() is exact, but the counts may be a moment old:
// what is decided by them is approximate. Must outlive its pools.
#pragma once

#include <cstddef>

namespace backedpipe {

class MemoryBudget {
 public:
  virtual ~MemoryBudget() = default;

  // Takes a segment if one is left. `outbound`: see SegmentPool::Use.
  virtual bool take(bool outbound) = 0;
  virtual void give_back(bool outbound) = 0;

  std::size_t segment_count() const { return segment_count_; }
  virtual std::size_t in_use() const = 0;
  virtual std::size_t outbound() const = 0;  // of those in use

 protected:
  explicit MemoryBudget(std::size_t segment_count) : segment_count_(segment_count) {}
  MemoryBudget(const MemoryBudget&) = default;
  MemoryBudget& operator=(const MemoryBudget&) = default;

 private:
  std::size_t segment_count_;
};

// The budget of one pool alone.
class OwnBudget final : public MemoryBudget {
 public:
  explicit OwnBudget(std::size_t segment_count) : MemoryBudget(segment_count) {}

  bool take(bool outbound) override {
    if (in_use_ >= segment_count()) return false;
    ++in_use_;
    outbound_ += outbound ? 1 : 0;
    return true;
  }
  void give_back(bool outbound) override {
    --in_use_;
    outbound_ -= outbound ? 1 : 0;
  }
  std::size_t in_use() const override { return in_use_; }
  std::size_t outbound() const override { return outbound_; }

 private:
  std::size_t in_use_ = 0;
  std::size_t outbound_ = 0;
};

}  // namespace backedpipe
