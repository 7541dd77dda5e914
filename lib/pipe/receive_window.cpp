#include "pipe/receive_window.hpp"

#include <algorithm>

namespace backedpipe {

ReceiveWindow::ReceiveWindow(std::size_t initial_bytes, std::size_t max_bytes)
    : initial_(std::min(initial_bytes, max_bytes)),
      max_(max_bytes),
      size_(initial_),
      limit_(initial_),
      stated_(initial_) {}

void ReceiveWindow::on_delivered(std::uint64_t delivered, TimePoint now,
                                 std::optional<Duration> round_trip, bool scarce) {
  if (scarce) size_ = std::min(size_, initial_);
  if (!epoch_start_) {
    epoch_start_ = now;
    epoch_offset_ = delivered;
  } else if (delivered - epoch_offset_ > size_ / 2) {
    if (!scarce && round_trip && now - *epoch_start_ < 2 * *round_trip) {
      size_ = std::min(2 * size_, max_);
    }
    epoch_start_ = now;
    epoch_offset_ = delivered;
  }
  limit_ = std::max(limit_, delivered + size_);
}

}  // namespace backedpipe
