// SegmentPool hands out equal pieces of one arena of memory, by index. One pool belongs to one
// worker and is used on its thread only; every ring of that worker takes its storage from it. All
// workers' pools may share one budget, which limits how many segments are in use together. The
// arena's memory belongs to whoever made the pool and must outlive it.
//
// A free segment that has been used is warm while it still has its memory, and cold once trim() has
// given that back. The warm ones are a stack: the bottom has been free for longest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "pipe/memory_budget.hpp"

namespace backedpipe {

using SegmentIndex = std::uint32_t;

class SegmentPool {
 public:
  // Inbound bytes came over a link and may use all of the memory. Outbound bytes, which an
  // application wants to send, may use three quarters: bytes that are in flight must have somewhere
  // to go, or the acknowledgements that follow them could never be read.
  enum class Use { inbound, outbound };

  static constexpr std::size_t kDefaultSegmentBytes = std::size_t{64} << 10;

  // `segment_bytes` must be a power of two. What remains of the arena after the last whole segment
  // is not used. An arena smaller than one segment is allowed; such a pool is always exhausted.
  explicit SegmentPool(std::span<std::byte> arena,
                       std::size_t segment_bytes = kDefaultSegmentBytes);
  // The same, with a budget that other pools share; it must outlive the pool.
  SegmentPool(std::span<std::byte> arena, MemoryBudget& budget,
              std::size_t segment_bytes = kDefaultSegmentBytes);
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // A segment with undefined content, or nothing when the share for this use is exhausted. The most
  // recently freed one comes first, because it is still in cache. `held` is how many segments the
  // asking ring has. A ring that holds some gets no more once it has twice what is left, so that
  // competing rings end up with about the same (the dynamic thresholds of shared-memory switches:
  // Choudhury and Hahne, 1998). An eighth is not counted as left for those: a ring that holds
  // nothing can always get a segment.
  std::optional<SegmentIndex> allocate(Use use, std::size_t held = 0);
  // For bytes that a ring has held before, which may use all of the memory. Nothing when all of it
  // is in use.
  std::optional<SegmentIndex> allocate_restored(Use use);
  // `use` is what it was allocated for.
  void free(SegmentIndex segment, Use use);

  // Calls `freed` once, when a segment is freed; it must not use the pool. One at a time: a later
  // call replaces it.
  void when_freed(std::function<void()> freed) { freed_ = std::move(freed); }

  // --- giving memory back

  struct Trim {
    std::size_t keep = 0;     // this many segments stay warm, however long they have been free
    std::size_t at_most = 0;  // this many segments are trimmed in one call
  };
  // Gives the memory of these segments back; their content is not needed.
  using Discard = std::function<void(std::span<std::byte>)>;
  // Gives back the memory of segments that have been free since the previous call, the longest free
  // first. Calls `discard` once for each run of neighbours. Returns the number of segments.
  std::size_t trim(const Trim& trim, const Discard& discard);
  // Calls `surplus` once, when a segment is freed and more than `keep` are warm; it must not use
  // the pool. One at a time: a later call replaces it.
  void when_surplus(std::size_t keep, std::function<void()> surplus);
  std::size_t warm_count() const { return warm_.size(); }

  std::byte* data(SegmentIndex segment) { return arena_.data() + offset_of(segment); }
  const std::byte* data(SegmentIndex segment) const { return arena_.data() + offset_of(segment); }

  std::size_t segment_bytes() const { return segment_bytes_; }
  // Of the whole budget.
  std::size_t segments_in_use() const { return budget_->in_use(); }
  std::size_t segment_count() const { return budget_->segment_count(); }
  bool shares_budget() const { return !own_budget_; }

  // Memory is getting short: windows return to their first size.
  bool scarce() const { return budget_->in_use() > budget_->segment_count() / 2; }

 private:
  std::size_t left_for(Use use) const;
  void set_cold(SegmentIndex segment);
  SegmentIndex take_cold();
  std::size_t offset_of(SegmentIndex segment) const {
    return std::size_t{segment} * segment_bytes_;
  }

  std::span<std::byte> arena_;
  std::size_t segment_bytes_;
  std::optional<OwnBudget> own_budget_;
  MemoryBudget* budget_;
  SegmentIndex untouched_ = 0;  // the first segment never used: it and those after have no pages
  std::vector<SegmentIndex> warm_;
  std::size_t unused_ = 0;  // this many of them, from the bottom, are free since the latest trim()
  // One bit for each segment, set if it is cold. A list would stay as long as after the largest
  // burst.
  std::vector<std::uint64_t> cold_;
  std::size_t cold_count_ = 0;
  std::size_t lowest_cold_ = 0;  // no word of cold_ before this one has a bit set
  std::function<void()> freed_;
  std::function<void()> surplus_;
  std::size_t keep_ = 0;  // for surplus_
};

}  // namespace backedpipe
