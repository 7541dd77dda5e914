// PipeRecord: the state of a BackedPipe that outlives its links, as plain numbers, and its encoding
// as bytes. The bytes of the streams are not part of it: a record says which ones are held, and
// they are given beside it, as pieces in memory, so that a store which keeps segments need not copy
// them. Made by BackedPipe::record(), taken by BackedPipe::restore().
//
// All offsets are absolute. The end of a stream takes one sequence number after its last byte, as
// in BackedWriter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipe/ring_buffer.hpp"
#include "proto/reason.hpp"

namespace backedpipe {

// Of a BackedWriter, which holds the bytes [begin, end).
struct WriterRecord {
  std::uint64_t begin_offset = 0;
  std::uint64_t end_offset = 0;
  std::uint64_t highest_sent = 0;
  bool finished = false;
  bool fin_acknowledged = false;
  bool discarded = false;

  friend bool operator==(const WriterRecord&, const WriterRecord&) = default;
};

// Of a BackedReader, which holds the bytes [begin, end).
struct ReaderRecord {
  std::uint64_t begin_offset = 0;
  std::uint64_t end_offset = 0;
  std::uint64_t window_limit = 0;
  std::uint64_t window_size_bytes = 0;  // 0: not known
  bool fin_received = false;
  bool end_delivered = false;

  friend bool operator==(const ReaderRecord&, const ReaderRecord&) = default;
};

struct PipeRecord {
  WriterRecord writer;
  ReaderRecord reader;
  std::uint64_t highest_generation = 0;  // of any attempt or link
  std::uint64_t attached_generation = 0;
  std::uint64_t replayed_bytes = 0;
  std::optional<Reason> reset_reason;
  std::optional<Reason> reset_received;
  bool closed = false;

  friend bool operator==(const PipeRecord&, const PipeRecord&) = default;
};

// The bytes that a record says are held: in order, in pieces of any size, owned by the caller.
struct HeldBytes {
  std::span<const ConstBytes> outbound;
  std::span<const ConstBytes> inbound;
};

// The same where the pieces themselves have no other owner.
struct HeldPieces {
  std::vector<ConstBytes> outbound;
  std::vector<ConstBytes> inbound;

  HeldBytes bytes() const { return {.outbound = outbound, .inbound = inbound}; }
};

// What the pipe that is to take a record can hold.
struct RecordLimits {
  std::size_t replay_buffer_bytes = 0;
  std::size_t max_window_bytes = 0;
};

// Why no pipe within these limits can be in this state, as a phrase for the log; nothing if one
// can. Any record may be asked about, whatever wrote it.
std::optional<std::string_view> contradiction_in(const PipeRecord& record,
                                                 const RecordLimits& limits);

// --- as bytes

// Big-endian; the first four bytes name the format. Read by the next version of this program at the
// latest, never by a peer. Precondition: `held` is as long as the record says.
std::vector<std::byte> encode(const PipeRecord& record, const HeldBytes& held);

struct DecodedRecord {
  PipeRecord record;
  ConstBytes outbound;  // inside the bytes that were decoded
  ConstBytes inbound;
};
// Error: protocol_error for anything that encode() does not write. Whether the numbers fit together
// is a matter of contradiction_in().
Result<DecodedRecord> decode_record(ConstBytes bytes);

}  // namespace backedpipe
