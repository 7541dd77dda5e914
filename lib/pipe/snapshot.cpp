// BackedPipe::record, restore and snapshot: the state of a pipe without its link.
#include <cstdint>
#include <span>
#include <vector>

#include "pipe/backed_pipe.hpp"

namespace backedpipe {
namespace {

std::vector<ConstBytes> pieces_of(const RingBuffer& ring, std::uint64_t begin) {
  std::vector<ConstBytes> pieces(ring.segment_count());
  pieces.resize(ring.read(begin, ring.size(), pieces));
  return pieces;
}

bool are_bytes_of(std::span<const ConstBytes> pieces, std::uint64_t size) {
  for (const ConstBytes piece : pieces) {
    if (piece.size() > size) return false;
    size -= piece.size();
  }
  return size == 0;
}

}  // namespace

PipeRecord BackedPipe::record() const {
  PipeRecord record{.writer = writer_.record(),
                    .reader = reader_.record(),
                    .highest_generation = highest_generation_,
                    .attached_generation = attached_generation_,
                    .replayed_bytes = replayed_bytes_,
                    .reset_reason = reset_reason_,
                    .reset_received = reset_received_,
                    .closed = state_ == PipeState::closed};
  // Without its link a pipe that is being reset keeps no data: see drop_link().
  if (resetting()) {
    record.writer.begin_offset = record.writer.end_offset;
    record.writer.discarded = true;
  }
  return record;
}

Result<void> BackedPipe::restore(const PipeRecord& record, const HeldBytes& held) {
  const RecordLimits limits{.replay_buffer_bytes = writer_.ring().capacity(),
                            .max_window_bytes = reader_.ring().capacity()};
  const WriterRecord& writer = record.writer;
  const ReaderRecord& reader = record.reader;
  if (contradiction_in(record, limits) ||
      !are_bytes_of(held.outbound, writer.end_offset - writer.begin_offset) ||
      !are_bytes_of(held.inbound, reader.end_offset - reader.begin_offset)) {
    return Reason::protocol_error;
  }
  if (const auto restored = writer_.restore(writer, held.outbound); !restored) return restored;
  if (const auto restored = reader_.restore(reader, held.inbound); !restored) return restored;
  generation_ = highest_generation_ = record.highest_generation;
  attached_generation_ = record.attached_generation;
  replayed_bytes_ = record.replayed_bytes;
  reset_reason_ = record.reset_reason;
  reset_received_ = record.reset_received;
  LedgerEntry& entry = ledger();
  entry.generation(highest_generation_);
  entry.delivered(reader.begin_offset);
  entry.stating_limit(reader.window_limit);
  if (reader.end_delivered) entry.end_delivered();
  if (reset_reason_) entry.resetting(*reset_reason_);
  if (record.closed) close();
  return {};
}

HeldPieces BackedPipe::held() const {
  const PipeRecord state = record();
  return {.outbound = pieces_of(writer_.ring(), state.writer.begin_offset),
          .inbound = pieces_of(reader_.ring(), state.reader.begin_offset)};
}

std::vector<std::byte> BackedPipe::snapshot() const {
  return encode(record(), held().bytes());
}

Result<void> BackedPipe::restore(ConstBytes snapshot) {
  const auto decoded = decode_record(snapshot);
  if (!decoded) return decoded.error();
  return restore(decoded->record,
                 {.outbound = {&decoded->outbound, 1}, .inbound = {&decoded->inbound, 1}});
}

}  // namespace backedpipe
