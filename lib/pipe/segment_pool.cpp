#include "pipe/segment_pool.hpp"

#include <algorithm>
#include <bit>

#include "pipe/invariant.hpp"

namespace backedpipe {

SegmentPool::SegmentPool(std::span<std::byte> arena, std::size_t segment_bytes)
    : arena_(arena), segment_bytes_(segment_bytes), segment_count_(arena.size() / segment_bytes) {
  invariant(std::has_single_bit(segment_bytes) && segment_count_ <= UINT32_MAX);
}

std::size_t SegmentPool::left_for(Use use) const {
  const std::size_t left = segment_count_ - in_use_;
  if (use == Use::inbound) return left;
  const std::size_t share = segment_count_ - segment_count_ / 4;
  // Nor does who comes next with bytes to send take the last that is kept for who comes next with
  // bytes from a link.
  const std::size_t kept = segment_count_ / 16;
  if (outbound_ >= share || left <= kept) return 0;
  return std::min(share - outbound_, left - kept);
}

std::optional<SegmentIndex> SegmentPool::allocate(Use use, std::size_t held) {
  const std::size_t left = left_for(use);
  if (left == 0) return std::nullopt;
  if (held > 0) {
    const std::size_t kept = segment_count_ / 8;
    if (left <= kept || held >= 2 * (left - kept)) return std::nullopt;
  }
  return allocate_restored(use);
}

std::optional<SegmentIndex> SegmentPool::allocate_restored(Use use) {
  if (in_use_ >= segment_count_) return std::nullopt;
  ++in_use_;
  if (use == Use::outbound) ++outbound_;
  if (free_.empty()) return untouched_++;
  const SegmentIndex segment = free_.back();
  free_.pop_back();
  return segment;
}

void SegmentPool::free(SegmentIndex segment, Use use) {
  invariant(in_use_ > 0 && segment < untouched_ && (use == Use::inbound || outbound_ > 0));
  --in_use_;
  if (use == Use::outbound) --outbound_;
  free_.push_back(segment);
  if (freed_) std::exchange(freed_, nullptr)();
}

}  // namespace backedpipe
