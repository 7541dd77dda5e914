// BackedWriter: the outbound half of a session. Keeps what the application wrote until the peer has
// acknowledged it, and knows what to send next on the current link.
//
//   acknowledged       sent      highest sent       end
//        |-- in flight --|-- to replay --|-- unsent --|
//
// acknowledged ≤ sent ≤ highest sent ≤ end, all absolute offsets. Sent concerns the current link:
// after a reconnect it is below highest sent until the replay is done. The end of the stream takes
// one sequence number after the last byte, as TCP's FIN does, so that it is sent, acknowledged and
// replayed by the same rules as data. Owned by a BackedPipe; no I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pipe/pipe_record.hpp"
#include "pipe/ring_buffer.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

class BackedWriter {
 public:
  BackedWriter(SegmentPool& pool, std::size_t capacity_bytes, LedgerEntry ledger = {});

  // --- the application's side

  // Memory for what the application writes next; see RingBuffer::prepare. Nothing once finished.
  std::size_t prepare(std::size_t max_bytes, std::span<MutableBytes> out);
  void commit(std::size_t count);
  // Copies instead: returns how much was taken, which is less than given when the buffer is full.
  std::size_t write(ConstBytes bytes);
  // No more bytes will follow.
  void finish();

  // --- the link's side

  // Can a link to a peer with this position be served? Errors: future_sequence when the peer has
  // more than was ever sent, replay_unavailable when it lacks what it had acknowledged.
  Result<void> check(const Position& peer) const;
  // A link is there and the peer has stated what it has: replay begins at `peer.received`. A window
  // limit that is lower than an earlier one changes nothing. Fails as check() does, and then leaves
  // everything as it was.
  Result<void> attach(const Position& peer);
  void detach() { attached_ = false; }

  // The next bytes to put on the link: how many, from next_offset() on; 0 when the window is closed
  // or nothing is left.
  std::size_t sendable() const;
  bool fin_sendable() const;
  std::uint64_t next_offset() const { return scheduled_; }
  // `count` bytes (or the FIN) have been put into a frame...
  void schedule(std::size_t count);
  // ...and everything before `sequence` has been taken by the link.
  void mark_sent(std::uint64_t sequence);

  // The peer has delivered everything before `sequence`. An older acknowledgement changes nothing.
  // One beyond what this link has taken is valid if an earlier link carried those bytes: a peer
  // still receives on its old link after stating its position for the next. It takes effect as the
  // replay passes it. Error: future_sequence when that was never sent.
  Result<void> acknowledge(std::uint64_t sequence);
  // The peer takes data up to `limit`; a lower limit changes nothing.
  void raise_limit(std::uint64_t limit);

  // Forgets the data for good, because the session is being reset. From then on offsets and
  // acknowledgements have no meaning.
  void discard();

  // --- what it holds

  LedgerEntry& ledger() { return ledger_; }
  const LedgerEntry& ledger() const { return ledger_; }
  const RingBuffer& ring() const { return ring_; }
  std::uint64_t acknowledged() const { return ring_.begin() + (fin_acknowledged_ ? 1 : 0); }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t highest_sent() const { return highest_sent_; }
  // After the last byte, and after the FIN once there is one.
  std::uint64_t end() const { return ring_.end() + (finished_ ? 1 : 0); }
  bool attached() const { return attached_; }
  bool finished() const { return finished_; }
  // The stream has ended and the peer has acknowledged all of it.
  bool done() const { return fin_acknowledged_; }

  // --- its record

  WriterRecord record() const;
  // Preconditions: newly made; no contradiction in the record; the pieces are the bytes it says are
  // held. Error: no_buffer_space when the pool cannot hold them.
  Result<void> restore(const WriterRecord& record, std::span<const ConstBytes> held);

 private:
  void release_acknowledged();

  LedgerEntry ledger_;  // of the whole session
  RingBuffer ring_;
  std::uint64_t scheduled_ = 0;     // next to be put into a frame on this link
  std::uint64_t sent_ = 0;          // taken by this link, or received over an earlier one
  std::uint64_t highest_sent_ = 0;  // ever
  std::uint64_t stated_ = 0;        // the peer's latest acknowledgement
  std::uint64_t limit_ = 0;         // the highest that the peer has stated
  bool attached_ = false;
  bool finished_ = false;
  bool fin_acknowledged_ = false;
  bool discarded_ = false;
};

}  // namespace backedpipe
