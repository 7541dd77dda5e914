// SegmentPool hands out equal pieces of one arena of memory, by index. One pool belongs to one
// worker and is used on its thread only; every ring of that worker takes its storage from it. How
// many segments all workers together have in use is a matter of the budget that they share. The
// arena's memory belongs to whoever made the pool and must outlive it.
//
// A free segment that has been used is warm as long as its memory is there, and cold once trim()
// has given that back. Warm ones are a stack whose bottom has been free for longest.
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
  // Who asks. Bytes that came over a link may use all of the memory, bytes that an application
  // wants to send only three quarters of it: what is already on its way must have somewhere to go,
  // or the acknowledgements behind it could never be read.
  enum class Use { inbound, outbound };

  static constexpr std::size_t kDefaultSegmentBytes = std::size_t{64} << 10;

  // `segment_bytes` must be a power of two. What is left of the arena behind the last whole segment
  // is not used; an arena without a single segment is allowed and always exhausted.
  explicit SegmentPool(std::span<std::byte> arena,
                       std::size_t segment_bytes = kDefaultSegmentBytes);
  // The same, with a budget that others take from too; it must outlive the pool.
  SegmentPool(std::span<std::byte> arena, MemoryBudget& budget,
              std::size_t segment_bytes = kDefaultSegmentBytes);
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // A segment with undefined content, the most recently freed first so that it is still in cache;
  // nothing when the share for this use is exhausted. `held` is how many the asking ring has
  // already: one that has any gets no more once it holds twice what is left, so that those who
  // compete end up with about the same (the dynamic thresholds of shared-memory switches: Choudhury
  // and Hahne, 1998). An eighth is not counted as left: however long the others hold on, who comes
  // next with nothing gets something.
  std::optional<SegmentIndex> allocate(Use use, std::size_t held = 0);
  // For bytes that were held before, from which no share is kept: nothing when all is in use.
  std::optional<SegmentIndex> allocate_restored(Use use);
  // `use` is what it was allocated for.
  void free(SegmentIndex segment, Use use);

  // Calls `freed` once, when a segment is freed; it must not use the pool. One at a time: a later
  // call replaces it.
  void when_freed(std::function<void()> freed) { freed_ = std::move(freed); }

  // --- giving memory back

  struct Trim {
    std::size_t keep = 0;     // warm segments that stay, however long they have been free
    std::size_t at_most = 0;  // segments in this call
  };
  // What is in there is not needed any more: its memory can go.
  using Discard = std::function<void(std::span<std::byte>)>;
  // Lets the memory of those segments go that have been free ever since the call before, those that
  // have been free for longest first. Calls `discard` once for neighbours. Returns how many it
  // were.
  std::size_t trim(const Trim& trim, const Discard& discard);
  // Calls `surplus` once, when a segment is freed and more than `keep` are warm then; it must not
  // use the pool. One at a time: a later call replaces it.
  void when_surplus(std::size_t keep, std::function<void()> surplus);
  std::size_t warm_count() const { return warm_.size(); }

  std::byte* data(SegmentIndex segment) { return arena_.data() + offset_of(segment); }
  const std::byte* data(SegmentIndex segment) const { return arena_.data() + offset_of(segment); }

  std::size_t segment_bytes() const { return segment_bytes_; }
  // Of the whole budget.
  std::size_t segments_in_use() const { return budget_->in_use(); }
  std::size_t segment_count() const { return budget_->segment_count(); }
  bool shares_budget() const { return !own_budget_; }

  // Memory is getting short: windows go back to their first size.
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
  SegmentIndex untouched_ =
      0;  // segments from here on have never been used: their pages are not there
  std::vector<SegmentIndex> warm_;
  std::size_t unused_ = 0;  // of those, from the bottom: free since the latest trim()
  // A bit for each, set for those that are cold: a list would stay as long as the largest burst
  // made it.
  std::vector<std::uint64_t> cold_;
  std::size_t cold_count_ = 0;
  std::size_t lowest_cold_ = 0;  // no word of cold_ before this one has a bit set
  std::function<void()> freed_;
  std::function<void()> surplus_;
  std::size_t keep_ = 0;  // for surplus_
};

}  // namespace backedpipe
