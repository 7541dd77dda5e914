#include "pipe/receive_window.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// The window grows or shrinks by the number of round trips in which half of it is taken. At the
// first number the window is four times what is in flight, at the second 64 times. They are far
// apart so that no rate makes it grow and shrink in turn.
constexpr int kGrowsWithin = 2;
constexpr int kShrinksBeyond = 32;
// On a path this short a large window is judged by the least round trip: twice what the path itself
// holds is enough, and more would only wait in queues. It is judged over several halves of the
// window, because an application that was held up takes much at once. On longer paths round trips
// vary for other reasons, and bytes leave the cache in any case.
constexpr Duration kShortPath = std::chrono::milliseconds(5);
constexpr std::size_t kHalvesAtOnce = 8;

}  // namespace

ReceiveWindow::ReceiveWindow(std::size_t initial_bytes, std::size_t max_bytes)
    : initial_(std::min(initial_bytes, max_bytes)),
      max_(max_bytes),
      size_(initial_),
      limit_(initial_),
      stated_(initial_) {}

void ReceiveWindow::on_delivered(std::uint64_t delivered, TimePoint now,
                                 std::optional<RoundTrip> round_trip, bool scarce) {
  if (scarce) size_ = std::min(size_, initial_);
  const bool by_the_path = size_ >= kLargeBytes && round_trip && round_trip->least < kShortPath;
  const std::size_t halves = by_the_path ? kHalvesAtOnce : 1;
  if (!epoch_start_) {
    epoch_start_ = now;
    epoch_offset_ = delivered;
  } else if (delivered - epoch_offset_ > halves * (size_ / 2)) {
    if (round_trip) {
      const Duration half_in = (now - *epoch_start_) / static_cast<int>(halves);
      const Duration grows_within =
          by_the_path ? round_trip->least : kGrowsWithin * round_trip->usual;
      if (!scarce && half_in < grows_within) {
        size_ = std::min(2 * size_, max_);
      } else if (half_in > kShrinksBeyond * round_trip->usual) {
        size_ = std::max(size_ / 2, initial_);
      }
    }
    epoch_start_ = now;
    epoch_offset_ = delivered;
  }
  limit_ = std::max(limit_, delivered + size_);
}

void ReceiveWindow::restore(std::size_t size_bytes, std::uint64_t limit, std::uint64_t delivered) {
  limit_ = stated_ = limit;
  size_ = size_bytes;
  if (size_bytes > 0) return;
  size_ = initial_;
  limit_ = std::max(limit, delivered + size_);
}

}  // namespace backedpipe
