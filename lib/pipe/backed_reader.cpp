#include "pipe/backed_reader.hpp"

#include <algorithm>

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

}  // namespace backedpipe
