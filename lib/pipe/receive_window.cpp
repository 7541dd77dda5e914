#include "pipe/receive_window.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// Round trips in which half of the window is taken. Far apart, or a rate between them would make it
// grow and shrink all the time: at the first the window is four times what is on its way, at the
// second 64 times.
constexpr int kGrowsWithin = 2;
constexpr int kShrinksBeyond = 32;

}  // namespace

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
    const Duration taken_in = now - *epoch_start_;
    if (!scarce && round_trip && taken_in < kGrowsWithin * *round_trip) {
      size_ = std::min(2 * size_, max_);
    } else if (round_trip && taken_in > kShrinksBeyond * *round_trip) {
      size_ = std::max(size_ / 2, initial_);
    }
    epoch_start_ = now;
    epoch_offset_ = delivered;
  }
  limit_ = std::max(limit_, delivered + size_);
}

}  // namespace backedpipe
