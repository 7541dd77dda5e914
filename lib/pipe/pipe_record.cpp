#include "pipe/pipe_record.hpp"

#include <utility>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

constexpr std::uint32_t kFormat = 0x42505331;  // "BPS1"

constexpr std::uint8_t kFinished = 1;
constexpr std::uint8_t kFinAcknowledged = 2;
constexpr std::uint8_t kDiscarded = 4;
constexpr std::uint8_t kFinReceived = 8;
constexpr std::uint8_t kEndDelivered = 16;
constexpr std::uint8_t kClosed = 32;
constexpr std::uint8_t kAllFlags = 63;

// The sequence number after the end of a stream must be one too.
constexpr std::uint64_t kMaxEndOffset = UINT64_MAX - 1;

// --- checking

std::optional<std::string_view> contradiction_in(const WriterRecord& writer, std::size_t capacity) {
  const bool empty = writer.begin_offset == writer.end_offset;
  if (writer.begin_offset > writer.end_offset) return "written less than acknowledged";
  if (writer.end_offset > kMaxEndOffset) return "written more than offsets can count";
  if (writer.end_offset - writer.begin_offset > capacity) return "more held than may be replayed";
  if (writer.highest_sent > writer.end_offset + (writer.finished ? 1 : 0)) {
    return "sent more than written";
  }
  if (writer.fin_acknowledged && !writer.finished) return "an end acknowledged and never written";
  if (writer.fin_acknowledged && !empty) return "an end acknowledged before its data";
  // Offsets have no meaning any more once the data has been discarded.
  if (writer.discarded) return empty ? std::nullopt : std::optional("data held and discarded");
  const std::uint64_t acknowledged = writer.begin_offset + (writer.fin_acknowledged ? 1 : 0);
  if (writer.highest_sent < acknowledged) return "sent less than acknowledged";
  return std::nullopt;
}

std::optional<std::string_view> contradiction_in(const ReaderRecord& reader,
                                                 std::size_t max_window) {
  const bool empty = reader.begin_offset == reader.end_offset;
  if (reader.begin_offset > reader.end_offset) return "received less than delivered";
  if (reader.end_offset > kMaxEndOffset) return "received more than offsets can count";
  if (reader.end_offset - reader.begin_offset > max_window) return "more held than a window allows";
  if (reader.window_size_bytes > max_window) return "a window above its maximum";
  if (reader.window_limit < reader.end_offset) return "received more than the window allowed";
  if (reader.end_delivered && !reader.fin_received) return "an end delivered and never received";
  if (reader.end_delivered && !empty) return "an end delivered before its data";
  return std::nullopt;
}

// --- bytes

// Reads integers and remembers whether all of them were there.
class Fields {
 public:
  explicit Fields(ConstBytes bytes) : reader_(bytes) {}

  template <typename Integer>
  Integer take() {
    const auto value = reader_.integer<Integer>();
    whole_ = whole_ && value.has_value();
    return value.value_or(0);
  }
  std::optional<Reason> take_reason() {
    const auto reason = static_cast<Reason>(take<std::uint16_t>());
    return reason == Reason::none ? std::nullopt : std::optional(reason);
  }

  std::size_t remaining() const { return reader_.remaining(); }
  bool whole() const { return whole_; }

 private:
  wire::Reader reader_;
  bool whole_ = true;
};

std::uint8_t flags_of(const PipeRecord& record) {
  std::uint8_t flags = 0;
  const auto add = [&flags](bool set, std::uint8_t flag) {
    if (set) flags = static_cast<std::uint8_t>(flags | flag);
  };
  add(record.writer.finished, kFinished);
  add(record.writer.fin_acknowledged, kFinAcknowledged);
  add(record.writer.discarded, kDiscarded);
  add(record.reader.fin_received, kFinReceived);
  add(record.reader.end_delivered, kEndDelivered);
  add(record.closed, kClosed);
  return flags;
}

}  // namespace

std::optional<std::string_view> contradiction_in(const PipeRecord& record,
                                                 const RecordLimits& limits) {
  if (record.attached_generation > record.highest_generation) {
    return "a link of a generation that was never begun";
  }
  if (record.reset_reason && !record.writer.discarded) return "data kept after a reset";
  if (record.closed && !record.writer.discarded) return "data kept in a closed pipe";
  if (const auto wrong = contradiction_in(record.writer, limits.replay_buffer_bytes)) return wrong;
  return contradiction_in(record.reader, limits.max_window_bytes);
}

std::vector<std::byte> encode(const PipeRecord& record, const HeldBytes& held) {
  wire::Writer out;
  out.integer(kFormat);
  out.integer(flags_of(record));
  out.integer(static_cast<std::uint16_t>(record.reset_reason.value_or(Reason::none)));
  out.integer(static_cast<std::uint16_t>(record.reset_received.value_or(Reason::none)));
  out.integer(record.highest_generation);
  out.integer(record.attached_generation);
  out.integer(record.replayed_bytes);
  out.integer(record.writer.highest_sent);
  out.integer(record.reader.window_size_bytes);
  out.integer(record.reader.window_limit);
  out.integer(record.writer.begin_offset);
  out.integer(record.writer.end_offset - record.writer.begin_offset);
  out.integer(record.reader.begin_offset);
  out.integer(record.reader.end_offset - record.reader.begin_offset);
  for (const ConstBytes piece : held.outbound)
    out.bytes(piece);
  for (const ConstBytes piece : held.inbound)
    out.bytes(piece);
  return std::move(out.buffer());
}

Result<DecodedRecord> decode_record(ConstBytes bytes) {
  Fields fields(bytes);
  const auto format = fields.take<std::uint32_t>();
  const auto flags = fields.take<std::uint8_t>();
  PipeRecord record;
  record.reset_reason = fields.take_reason();
  record.reset_received = fields.take_reason();
  record.highest_generation = fields.take<std::uint64_t>();
  record.attached_generation = fields.take<std::uint64_t>();
  record.replayed_bytes = fields.take<std::uint64_t>();
  WriterRecord& writer = record.writer;
  ReaderRecord& reader = record.reader;
  writer.highest_sent = fields.take<std::uint64_t>();
  reader.window_size_bytes = fields.take<std::uint64_t>();
  reader.window_limit = fields.take<std::uint64_t>();
  writer.begin_offset = fields.take<std::uint64_t>();
  const auto outbound_bytes = fields.take<std::uint64_t>();
  reader.begin_offset = fields.take<std::uint64_t>();
  const auto inbound_bytes = fields.take<std::uint64_t>();
  if (!fields.whole() || format != kFormat || (flags & ~kAllFlags) != 0 ||
      outbound_bytes > fields.remaining() || inbound_bytes != fields.remaining() - outbound_bytes ||
      outbound_bytes > UINT64_MAX - writer.begin_offset ||
      inbound_bytes > UINT64_MAX - reader.begin_offset) {
    return Reason::protocol_error;
  }
  writer.end_offset = writer.begin_offset + outbound_bytes;
  reader.end_offset = reader.begin_offset + inbound_bytes;
  writer.finished = (flags & kFinished) != 0;
  writer.fin_acknowledged = (flags & kFinAcknowledged) != 0;
  writer.discarded = (flags & kDiscarded) != 0;
  reader.fin_received = (flags & kFinReceived) != 0;
  reader.end_delivered = (flags & kEndDelivered) != 0;
  record.closed = (flags & kClosed) != 0;
  const ConstBytes held = bytes.last(fields.remaining());
  return DecodedRecord{record, held.first(static_cast<std::size_t>(outbound_bytes)),
                       held.subspan(static_cast<std::size_t>(outbound_bytes))};
}

}  // namespace backedpipe
