// BackedReader: the inbound half of a session. Keeps what came over links until the application's
// socket has taken it, drops what a link repeats, and counts what was delivered, which is what it
// acknowledges.
//
//     delivered          received            window limit
//         |-- undelivered ---|---- credit ---------|
//
// All absolute offsets; the end of the stream takes one sequence number, as in BackedWriter. A lost
// link loses nothing of what was received. Owned by a BackedPipe; no I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "pipe/pipe_record.hpp"
#include "pipe/receive_window.hpp"
#include "pipe/ring_buffer.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

class BackedReader {
 public:
  BackedReader(SegmentPool& pool, std::size_t initial_window_bytes, std::size_t max_window_bytes);

  // --- the link's side

  // Takes those of the bytes at `offset` that are new. Returns how many of `bytes` are done with,
  // repeated ones included: fewer than given only when the pool is exhausted. Errors:
  // protocol_error for a gap or bytes after the end of the stream, window_exceeded for bytes beyond
  // the stated limit.
  Result<std::size_t> receive(std::uint64_t offset, ConstBytes bytes);
  // The same without a copy: where the bytes [offset, offset + max_bytes) belong, as up to
  // `out.size()` pieces; returns how many. None if receive() would not store these bytes, or when
  // the pool is exhausted. See RingBuffer::prepare.
  std::size_t prepare(std::uint64_t offset, std::size_t max_bytes, std::span<MutableBytes> out);
  void commit(std::size_t count) { ring_.commit(count); }
  // The stream ends at `offset`. Error: protocol_error when that contradicts what came before.
  Result<void> receive_fin(std::uint64_t offset);

  // --- the application's side

  // What to write to the application, as up to `out.size()` pieces; returns how many.
  std::size_t deliverable(std::span<ConstBytes> out) const;
  // The application's socket has taken the first `count` bytes of that.
  void delivered(std::size_t count, TimePoint now, std::optional<RoundTrip> round_trip);
  // Everything before the end of the stream has been delivered, and the end is to be passed on.
  bool end_due() const { return fin_received_ && !end_delivered_ && ring_.empty(); }
  void end_delivered() { end_delivered_ = true; }

  // Forgets what was not delivered: the session is being reset.
  void discard() { ring_.clear(); }

  // --- what it holds

  const RingBuffer& ring() const { return ring_; }
  std::uint64_t delivered_sequence() const { return ring_.begin() + (end_delivered_ ? 1 : 0); }
  std::uint64_t received_sequence() const { return ring_.end() + (fin_received_ ? 1 : 0); }
  // The end of the stream has been passed on to the application.
  bool done() const { return end_delivered_; }
  bool fin_received() const { return fin_received_; }
  ReceiveWindow& window() { return window_; }
  const ReceiveWindow& window() const { return window_; }

  // --- its record

  ReaderRecord record() const;
  // As BackedWriter::restore.
  Result<void> restore(const ReaderRecord& record, std::span<const ConstBytes> held);

 private:
  SegmentPool& pool_;
  RingBuffer ring_;
  ReceiveWindow window_;
  bool fin_received_ = false;
  bool end_delivered_ = false;
};

}  // namespace backedpipe
