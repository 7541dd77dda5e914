#include "pipe/segment_pool.hpp"

#include <bit>

#include "pipe/invariant.hpp"

namespace backedpipe {

SegmentPool::SegmentPool(std::span<std::byte> arena, std::size_t segment_bytes)
    : arena_(arena), segment_bytes_(segment_bytes), segment_count_(arena.size() / segment_bytes) {
  invariant(std::has_single_bit(segment_bytes) && segment_count_ <= UINT32_MAX);
}

std::optional<SegmentIndex> SegmentPool::allocate(Use use, std::size_t held) {
  const std::size_t share =
      use == Use::outbound ? segment_count_ - segment_count_ / 4 : segment_count_;
  if (in_use_ >= share) return std::nullopt;
  if (use != Use::restored && held > 0) {
    const std::size_t left = share - in_use_;
    const std::size_t kept = share / 8;
    if (left <= kept || held >= 2 * (left - kept)) return std::nullopt;
  }
  ++in_use_;
  if (free_.empty()) return untouched_++;
  const SegmentIndex segment = free_.back();
  free_.pop_back();
  return segment;
}

void SegmentPool::free(SegmentIndex segment) {
  invariant(in_use_ > 0 && segment < untouched_);
  --in_use_;
  free_.push_back(segment);
  if (freed_) std::exchange(freed_, nullptr)();
}

}  // namespace backedpipe
