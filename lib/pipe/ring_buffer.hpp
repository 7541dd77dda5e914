// RingBuffer: the bytes [begin, end) of a stream, addressed by absolute offset, in segments taken
// from a pool as they are needed and given back as soon as every byte in them is released.
//
//      begin          end          prepared
//        |--- bytes ----|-- prepare() --|
//   [segment 0 ][segment 1 ][segment 2 ][segment 3 ]
//
// The byte at offset o is byte o % size of segment o / size - begin / size, counted from the one
// that holds the byte at begin.
//
// Nothing is ever overwritten or evicted: what does not fit is refused with a short count. An empty
// ring holds no segment. Owned by one BackedReader or BackedWriter, on its worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pipe/ledger.hpp"
#include "pipe/segment_pool.hpp"
#include "proto/reason.hpp"

namespace backedpipe {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

class RingBuffer {
 public:
  // Holds at most `capacity_bytes`, which need not be a multiple of the pool's segments. Begins at
  // offset 0. What it holds is recorded in `ledger`, if there is one; it must outlive the ring.
  RingBuffer(SegmentPool& pool, SegmentPool::Use use, std::size_t capacity_bytes,
             LedgerEntry* ledger = nullptr);
  ~RingBuffer();
  RingBuffer(const RingBuffer&) = delete;
  RingBuffer& operator=(const RingBuffer&) = delete;

  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }
  std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  bool empty() const { return begin_ == end_; }
  std::size_t capacity() const { return capacity_; }
  std::size_t segment_count() const { return segments_.size() - first_; }

  // Writable memory after the end, at most `max_bytes`, as up to `out.size()` pieces; returns how
  // many. Less than asked, or nothing, when the capacity or the pool is exhausted. Valid until the
  // next call of any other non-const function; what is not committed is given back then.
  std::size_t prepare(std::size_t max_bytes, std::span<MutableBytes> out);
  // The first `count` prepared bytes are now part of the ring. Gives back the segments that stay
  // empty.
  void commit(std::size_t count);

  // Copies as much of `bytes` as fits after the end; returns how much that was.
  std::size_t write(ConstBytes bytes);

  // The bytes [offset, offset + max_bytes) as far as they exist, as up to `out.size()` pieces;
  // returns how many. Precondition: begin ≤ offset ≤ end.
  std::size_t read(std::uint64_t offset, std::size_t max_bytes, std::span<ConstBytes> out) const;

  // Copies exactly the `out.size()` bytes from `offset` on. Errors: replay_unavailable for an
  // offset before the begin, future_sequence when they reach beyond the end.
  Result<void> copy(std::uint64_t offset, MutableBytes out) const;

  // Forgets everything before `offset`. Precondition: begin ≤ offset ≤ end.
  void release(std::uint64_t offset);

  // Forgets everything; the ring stays at its end.
  void clear() { release(end_); }

  // Lets an empty ring continue at another offset.
  void restart(std::uint64_t offset);
  // The same, with bytes that a ring has held before, which is why they may use the whole pool.
  // Returns how many fit.
  std::size_t restore(std::uint64_t offset, std::span<const ConstBytes> pieces);

 private:
  std::size_t index_of(std::uint64_t offset) const;
  void free_from(std::size_t index);
  void free_unused();
  void append(SegmentIndex segment, std::uint64_t number);

  SegmentPool& pool_;
  SegmentPool::Use use_;
  LedgerEntry* ledger_;
  std::size_t capacity_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  // segments_[first_] holds begin_. The slots before it are free, and erased several at a time.
  std::vector<SegmentIndex> segments_;
  std::size_t first_ = 0;
  bool restoring_ = false;
};

}  // namespace backedpipe
