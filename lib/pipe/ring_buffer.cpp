#include "pipe/ring_buffer.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

// The index starts with room for this many: the allocator rounds one or two up to as much.
constexpr std::size_t kFewSegments = 6;

}  // namespace

RingBuffer::RingBuffer(SegmentPool& pool, SegmentPool::Use use, std::size_t capacity_bytes,
                       LedgerEntry* ledger)
    : pool_(pool), use_(use), ledger_(ledger), capacity_(capacity_bytes) {}

RingBuffer::~RingBuffer() {
  free_from(first_);
}

// The slot in segments_ of the segment that holds, or would hold, this offset.
std::size_t RingBuffer::index_of(std::uint64_t offset) const {
  const std::size_t size = pool_.segment_bytes();
  return first_ + static_cast<std::size_t>(offset / size - begin_ / size);
}

void RingBuffer::free_from(std::size_t index) {
  if (index >= segments_.size()) return;
  if (ledger_ != nullptr) {
    if (index == first_) {
      ledger_->first_is(std::nullopt);
    } else {
      ledger_->last_is(segments_[index - 1]);
    }
  }
  // Last taken, first given back: the pool hands out the warmest segment next.
  while (segments_.size() > index) {
    pool_.free(segments_.back(), use_);
    segments_.pop_back();
  }
}

void RingBuffer::free_unused() {
  if (empty()) {
    free_from(first_);
    // An idle session must not hold memory for its index either.
    segments_ = std::vector<SegmentIndex>();
    first_ = 0;
  } else {
    free_from(index_of(end_ - 1) + 1);
  }
}

std::size_t RingBuffer::prepare(std::size_t max_bytes, std::span<MutableBytes> out) {
  const std::size_t segment_bytes = pool_.segment_bytes();
  std::size_t left = std::min(max_bytes, capacity_ - size());
  std::size_t count = 0;
  for (std::uint64_t offset = end_; left > 0 && count < out.size(); ++count) {
    const std::size_t index = index_of(offset);
    if (index >= segments_.size()) {
      const auto segment =
          restoring_ ? pool_.allocate_restored(use_) : pool_.allocate(use_, segment_count());
      if (!segment) break;
      append(*segment, offset / segment_bytes);
    }
    const auto within = static_cast<std::size_t>(offset % segment_bytes);
    const std::size_t piece = std::min(left, segment_bytes - within);
    out[count] = {pool_.data(segments_[index]) + within, piece};
    offset += piece;
    left -= piece;
  }
  return count;
}

// `number` is the segment's place in the stream.
void RingBuffer::append(SegmentIndex segment, std::uint64_t number) {
  if (segments_.empty()) segments_.reserve(kFewSegments);
  if (ledger_ != nullptr) {
    ledger_->enter(segment, number,
                   segment_count() > 0 ? std::optional(segments_.back()) : std::nullopt);
  }
  segments_.push_back(segment);
}

void RingBuffer::commit(std::size_t count) {
  invariant(count <= capacity_ - size() &&
            (count == 0 || index_of(end_ + count - 1) < segments_.size()));
  end_ += count;
  if (ledger_ != nullptr && count > 0) ledger_->written(end_);
  free_unused();
}

std::size_t RingBuffer::write(ConstBytes bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    std::array<MutableBytes, 1> piece;
    if (prepare(bytes.size() - written, piece) == 0) break;
    std::memcpy(piece[0].data(), bytes.data() + written, piece[0].size());
    written += piece[0].size();
    commit(piece[0].size());
  }
  return written;
}

std::size_t RingBuffer::read(std::uint64_t offset, std::size_t max_bytes,
                             std::span<ConstBytes> out) const {
  invariant(offset >= begin_ && offset <= end_);
  const std::size_t segment_bytes = pool_.segment_bytes();
  std::size_t left = std::min<std::uint64_t>(max_bytes, end_ - offset);
  std::size_t count = 0;
  for (; left > 0 && count < out.size(); ++count) {
    const auto within = static_cast<std::size_t>(offset % segment_bytes);
    const std::size_t piece = std::min(left, segment_bytes - within);
    out[count] = {pool_.data(segments_[index_of(offset)]) + within, piece};
    offset += piece;
    left -= piece;
  }
  return count;
}

Result<void> RingBuffer::copy(std::uint64_t offset, MutableBytes out) const {
  if (offset < begin_) return Reason::replay_unavailable;
  if (offset > end_ || out.size() > end_ - offset) return Reason::future_sequence;
  while (!out.empty()) {
    std::array<ConstBytes, 1> piece;
    read(offset, out.size(), piece);
    std::memcpy(out.data(), piece[0].data(), piece[0].size());
    offset += piece[0].size();
    out = out.subspan(piece[0].size());
  }
  return {};
}

void RingBuffer::release(std::uint64_t offset) {
  invariant(offset >= begin_ && offset <= end_);
  const std::size_t kept = std::min(index_of(offset), segments_.size());
  if (ledger_ != nullptr && offset > begin_) {
    ledger_->acknowledged(offset);
    if (kept > first_) {
      ledger_->first_is(kept < segments_.size() ? std::optional(segments_[kept]) : std::nullopt);
    }
  }
  for (; first_ < kept; ++first_)
    pool_.free(segments_[first_], use_);
  begin_ = offset;
  free_unused();
  if (first_ > 16 && first_ > segments_.size() / 2) {
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void RingBuffer::restart(std::uint64_t offset) {
  invariant(empty());
  begin_ = end_ = offset;
  if (ledger_ == nullptr) return;
  ledger_->written(offset);
  ledger_->acknowledged(offset);
}

std::size_t RingBuffer::restore(std::uint64_t offset, std::span<const ConstBytes> pieces) {
  restart(offset);
  restoring_ = true;
  for (const ConstBytes piece : pieces) {
    if (write(piece) < piece.size()) break;
  }
  restoring_ = false;
  return size();
}

}  // namespace backedpipe
