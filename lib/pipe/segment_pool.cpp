#include "pipe/segment_pool.hpp"

#include <algorithm>
#include <bit>

#include "pipe/invariant.hpp"

namespace backedpipe {

SegmentPool::SegmentPool(std::span<std::byte> arena, std::size_t segment_bytes)
    : arena_(arena),
      segment_bytes_(segment_bytes),
      own_budget_(std::in_place, arena.size() / segment_bytes),
      budget_(&*own_budget_) {
  invariant(std::has_single_bit(segment_bytes) && segment_count() <= UINT32_MAX);
}

SegmentPool::SegmentPool(std::span<std::byte> arena, MemoryBudget& budget,
                         std::size_t segment_bytes)
    : arena_(arena), segment_bytes_(segment_bytes), budget_(&budget) {
  invariant(std::has_single_bit(segment_bytes) && arena.size() / segment_bytes <= UINT32_MAX);
}

std::size_t SegmentPool::left_for(Use use) const {
  const std::size_t all = budget_->segment_count();
  // Others may be in the middle of taking the last one.
  const std::size_t left = all - std::min(all, budget_->in_use());
  if (use == Use::inbound) return left;
  const std::size_t share = all - all / 4;
  // Nor does who comes next with bytes to send take the last that is kept for who comes next with
  // bytes from a link.
  const std::size_t kept = all / 16;
  const std::size_t outbound = budget_->outbound();
  if (outbound >= share || left <= kept) return 0;
  return std::min(share - outbound, left - kept);
}

std::optional<SegmentIndex> SegmentPool::allocate(Use use, std::size_t held) {
  const std::size_t left = left_for(use);
  if (left == 0) return std::nullopt;
  if (held > 0) {
    const std::size_t kept = segment_count() / 8;
    if (left <= kept || held >= 2 * (left - kept)) return std::nullopt;
  }
  return allocate_restored(use);
}

std::optional<SegmentIndex> SegmentPool::allocate_restored(Use use) {
  const bool none_here = free_.empty() && untouched_ >= arena_.size() / segment_bytes_;
  if (none_here || !budget_->take(use == Use::outbound)) return std::nullopt;
  if (free_.empty()) return untouched_++;
  const SegmentIndex segment = free_.back();
  free_.pop_back();
  return segment;
}

void SegmentPool::free(SegmentIndex segment, Use use) {
  invariant(segment < untouched_ && free_.size() < untouched_);
  budget_->give_back(use == Use::outbound);
  free_.push_back(segment);
  if (freed_) std::exchange(freed_, nullptr)();
}

}  // namespace backedpipe
