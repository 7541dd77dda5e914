#include "pipe/segment_pool.hpp"

#include <algorithm>
#include <bit>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

constexpr std::size_t kWordBits = 64;

}  // namespace

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
  // Other pools may be taking the last one at this moment.
  const std::size_t left = all - std::min(all, budget_->in_use());
  if (use == Use::inbound) return left;
  const std::size_t share = all - all / 4;
  // A sixteenth stays reserved for inbound bytes.
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
  const bool none_here =
      warm_.empty() && cold_count_ == 0 && untouched_ >= arena_.size() / segment_bytes_;
  if (none_here || !budget_->take(use == Use::outbound)) return std::nullopt;
  if (warm_.empty()) return cold_count_ > 0 ? take_cold() : untouched_++;
  const SegmentIndex segment = warm_.back();
  warm_.pop_back();
  unused_ = std::min(unused_, warm_.size());
  return segment;
}

void SegmentPool::free(SegmentIndex segment, Use use) {
  invariant(segment < untouched_ && warm_.size() + cold_count_ < untouched_);
  budget_->give_back(use == Use::outbound);
  warm_.push_back(segment);
  if (freed_) std::exchange(freed_, nullptr)();
  if (surplus_ && warm_.size() > keep_) std::exchange(surplus_, nullptr)();
}

// --- giving memory back

std::size_t SegmentPool::trim(const Trim& trim, const Discard& discard) {
  const std::size_t surplus = warm_.size() - std::min(trim.keep, warm_.size());
  const std::size_t count = std::min({unused_, surplus, trim.at_most});
  const auto end = warm_.begin() + static_cast<std::ptrdiff_t>(count);
  std::sort(warm_.begin(), end);
  for (auto first = warm_.begin(); first != end;) {
    auto last = first;
    for (; last != end && *last - *first == static_cast<SegmentIndex>(last - first); ++last)
      set_cold(*last);
    discard({data(*first), static_cast<std::size_t>(last - first) * segment_bytes_});
    first = last;
  }
  warm_.erase(warm_.begin(), end);
  // Those beyond `at_most` need not wait for another period.
  unused_ = count == trim.at_most ? unused_ - count : warm_.size();
  if (warm_.capacity() / 4 > warm_.size()) warm_.shrink_to_fit();
  return count;
}

void SegmentPool::when_surplus(std::size_t keep, std::function<void()> surplus) {
  keep_ = keep;
  surplus_ = std::move(surplus);
}

void SegmentPool::set_cold(SegmentIndex segment) {
  const std::size_t word = segment / kWordBits;
  if (word >= cold_.size()) cold_.resize(word + 1);
  cold_[word] |= std::uint64_t{1} << segment % kWordBits;
  lowest_cold_ = std::min(lowest_cold_, word);
  ++cold_count_;
}

// The lowest one, so that the segments in use stay close together.
SegmentIndex SegmentPool::take_cold() {
  while (cold_[lowest_cold_] == 0)
    ++lowest_cold_;
  std::uint64_t& word = cold_[lowest_cold_];
  const auto bit = static_cast<std::size_t>(std::countr_zero(word));
  word &= word - 1;
  --cold_count_;
  return static_cast<SegmentIndex>(lowest_cold_ * kWordBits + bit);
}

}  // namespace backedpipe
