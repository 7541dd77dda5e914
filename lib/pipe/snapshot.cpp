// BackedPipe::snapshot and restore: the whole state of a pipe, without its link, as bytes.
// Big-endian; the first four bytes name the format. It is read by the next version of this program
// at the latest, never by a peer, but is checked like anything that comes from outside.
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/backed_pipe.hpp"
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

  std::optional<ConstBytes> bytes(std::size_t count) { return reader_.take(count); }
  std::size_t remaining() const { return reader_.remaining(); }
  bool whole() const { return whole_; }

 private:
  wire::Reader reader_;
  bool whole_ = true;
};

void write_ring(wire::Writer& writer, const RingBuffer& ring) {
  std::uint64_t offset = ring.begin();
  while (offset != ring.end()) {
    std::array<ConstBytes, 1> piece;
    ring.read(offset, ring.size(), piece);
    writer.bytes(piece[0]);
    offset += piece[0].size();
  }
}

Result<void> read_ring(RingBuffer& ring, std::uint64_t begin, ConstBytes bytes) {
  if (bytes.size() > ring.capacity()) return Reason::protocol_error;
  if (ring.restore(begin, bytes) != bytes.size()) {
    return make_error_code(boost::system::errc::no_buffer_space);
  }
  return {};
}

}  // namespace

class PipeSnapshot {
 public:
  static std::vector<std::byte> take(const BackedPipe& pipe) {
    const BackedWriter& out = pipe.writer_;
    const BackedReader& in = pipe.reader_;
    // Its link will be gone, and with it what a reset would still have sent.
    const bool discarded = out.discarded_ || pipe.resetting();
    const auto flag = [](bool set, std::uint8_t bit) { return set ? bit : std::uint8_t{0}; };
    wire::Writer writer;
    writer.integer(kFormat);
    writer.integer(static_cast<std::uint8_t>(
        flag(out.finished_, kFinished) | flag(out.fin_acknowledged_, kFinAcknowledged) |
        flag(discarded, kDiscarded) | flag(in.fin_received_, kFinReceived) |
        flag(in.end_delivered_, kEndDelivered) | flag(pipe.state_ == PipeState::closed, kClosed)));
    writer.integer(static_cast<std::uint16_t>(pipe.reset_reason_.value_or(Reason::none)));
    writer.integer(static_cast<std::uint16_t>(pipe.reset_received_.value_or(Reason::none)));
    writer.integer(pipe.highest_generation_);
    writer.integer(pipe.attached_generation_);
    writer.integer(pipe.replayed_bytes_);
    writer.integer(out.highest_sent_);
    writer.integer(std::uint64_t{in.window_.size_});
    writer.integer(in.window_.limit_);
    writer.integer(discarded ? out.ring_.end() : out.ring_.begin());
    writer.integer(std::uint64_t{discarded ? 0 : out.ring_.size()});
    writer.integer(in.ring_.begin());
    writer.integer(std::uint64_t{in.ring_.size()});
    if (!discarded) write_ring(writer, out.ring_);
    write_ring(writer, in.ring_);
    return std::move(writer.buffer());
  }

  static Result<void> put(BackedPipe& pipe, ConstBytes bytes) {
    BackedWriter& out = pipe.writer_;
    BackedReader& in = pipe.reader_;
    Fields fields(bytes);
    const auto format = fields.take<std::uint32_t>();
    const auto flags = fields.take<std::uint8_t>();
    const auto reset_reason = static_cast<Reason>(fields.take<std::uint16_t>());
    const auto reset_received = static_cast<Reason>(fields.take<std::uint16_t>());
    pipe.generation_ = pipe.highest_generation_ = fields.take<std::uint64_t>();
    pipe.attached_generation_ = fields.take<std::uint64_t>();
    pipe.replayed_bytes_ = fields.take<std::uint64_t>();
    const auto highest_sent = fields.take<std::uint64_t>();
    const auto window_size = fields.take<std::uint64_t>();
    const auto window_limit = fields.take<std::uint64_t>();
    const auto out_begin = fields.take<std::uint64_t>();
    const auto out_size = fields.take<std::uint64_t>();
    const auto in_begin = fields.take<std::uint64_t>();
    const auto in_size = fields.take<std::uint64_t>();
    if (!fields.whole() || format != kFormat || (flags & ~kAllFlags) != 0 ||
        pipe.attached_generation_ > pipe.generation_ || out_size > fields.remaining() ||
        in_size != fields.remaining() - out_size || out_size > UINT64_MAX - 1 - out_begin ||
        in_size > UINT64_MAX - 1 - in_begin) {
      return Reason::protocol_error;
    }

    out.finished_ = (flags & kFinished) != 0;
    out.fin_acknowledged_ = (flags & kFinAcknowledged) != 0;
    out.discarded_ = (flags & kDiscarded) != 0;
    in.fin_received_ = (flags & kFinReceived) != 0;
    in.end_delivered_ = (flags & kEndDelivered) != 0;
    if (reset_reason != Reason::none) pipe.reset_reason_ = reset_reason;
    if (reset_received != Reason::none) pipe.reset_received_ = reset_received;
    if (const auto read = read_ring(out.ring_, out_begin, *fields.bytes(out_size)); !read)
      return read;
    if (const auto read = read_ring(in.ring_, in_begin, *fields.bytes(in_size)); !read) return read;

    const bool writer_fits =
        out.discarded_ || (highest_sent >= out.acknowledged() && highest_sent <= out.end() &&
                           (!out.fin_acknowledged_ || (out.finished_ && out.ring_.empty())));
    const bool reader_fits = (!in.end_delivered_ || (in.fin_received_ && in.ring_.empty())) &&
                             window_limit >= in.ring_.begin() && window_size <= in.window_.max_;
    if (!writer_fits || !reader_fits || (pipe.resetting() && !out.discarded_))
      return Reason::protocol_error;
    out.highest_sent_ = out.sent_ = out.scheduled_ = highest_sent;
    in.window_.size_ = static_cast<std::size_t>(window_size);
    in.window_.limit_ = in.window_.stated_ = window_limit;
    if ((flags & kClosed) != 0) pipe.close();
    return {};
  }
};

std::vector<std::byte> BackedPipe::snapshot() const {
  return PipeSnapshot::take(*this);
}

Result<void> BackedPipe::restore(ConstBytes snapshot) {
  return PipeSnapshot::put(*this, snapshot);
}

}  // namespace backedpipe
