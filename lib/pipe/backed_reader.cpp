#include "pipe/backed_reader.hpp"

#include <algorithm>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {

BackedReader::BackedReader(SegmentPool& pool, std::size_t initial_window_bytes,
                           std::size_t max_window_bytes)
    : pool_(pool),
      ring_(pool, SegmentPool::Use::inbound, max_window_bytes),
      window_(initial_window_bytes, max_window_bytes) {}

Result<std::size_t> BackedReader::receive(std::uint64_t offset, ConstBytes bytes) {
  const std::uint64_t received = ring_.end();
  const std::uint64_t end = offset + bytes.size();
  if (offset > received || (fin_received_ && end > received)) return Reason::protocol_error;
  if (end > window_.stated_limit()) return Reason::window_exceeded;
  if (end <= received) return bytes.size();
  const auto repeated = static_cast<std::size_t>(received - offset);
  return repeated + ring_.write(bytes.subspan(repeated));
}

std::size_t BackedReader::prepare(std::uint64_t offset, std::size_t max_bytes,
                                  std::span<MutableBytes> out) {
  if (offset != ring_.end() || fin_received_ || offset >= window_.stated_limit()) return 0;
  const std::uint64_t granted = window_.stated_limit() - offset;
  return ring_.prepare(static_cast<std::size_t>(std::min<std::uint64_t>(max_bytes, granted)), out);
}

Result<void> BackedReader::receive_fin(std::uint64_t offset) {
  if (offset != ring_.end()) return Reason::protocol_error;
  fin_received_ = true;
  return {};
}

std::size_t BackedReader::deliverable(std::span<ConstBytes> out) const {
  return ring_.read(ring_.begin(), ring_.size(), out);
}

void BackedReader::delivered(std::size_t count, TimePoint now,
                             std::optional<RoundTrip> round_trip) {
  invariant(count <= ring_.size());
  ring_.release(ring_.begin() + count);
  window_.on_delivered(ring_.begin(), now, round_trip, pool_.scarce());
}

ReaderRecord BackedReader::record() const {
  return {.begin_offset = ring_.begin(),
          .end_offset = ring_.end(),
          .window_limit = window_.limit(),
          .window_size_bytes = window_.size_bytes(),
          .fin_received = fin_received_,
          .end_delivered = end_delivered_};
}

Result<void> BackedReader::restore(const ReaderRecord& record, std::span<const ConstBytes> held) {
  const std::uint64_t size = record.end_offset - record.begin_offset;
  if (ring_.restore(record.begin_offset, held) != size) {
    return make_error_code(boost::system::errc::no_buffer_space);
  }
  window_.restore(static_cast<std::size_t>(record.window_size_bytes), record.window_limit,
                  record.begin_offset);
  fin_received_ = record.fin_received;
  end_delivered_ = record.end_delivered;
  return {};
}

}  // namespace backedpipe
