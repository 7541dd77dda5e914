#include "pipe/receive_window.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// Round trips in which half of the window is taken. Far apart, or a rate between them would make it
// grow and shrink all the time: at the first the window is four times what is on its way, at the
// second 64 times.
constexpr int kGrowsWithin = 2;
constexpr int kShrinksBeyond = 32;
// On a way as short as this a large window is judged by the way itself, and twice what is on it is
// enough: what waits in queues besides is of no use there. It is judged by a longer stretch,
// because an application that was kept from its work takes much at once. A longer way mostly goes
// through networks where round trips vary for other reasons, and bytes leave a cache on it in any
// case.
constexpr Duration kShortWay = std::chrono::milliseconds(5);
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
  const bool by_the_way = size_ >= kLargeBytes && round_trip && round_trip->least < kShortWay;
  const std::size_t halves = by_the_way ? kHalvesAtOnce : 1;
  if (!epoch_start_) {
    epoch_start_ = now;
    epoch_offset_ = delivered;
  } else if (delivered - epoch_offset_ > halves * (size_ / 2)) {
    if (round_trip) {
      const Duration half_in = (now - *epoch_start_) / static_cast<int>(halves);
      const Duration grows_within =
          by_the_way ? round_trip->least : kGrowsWithin * round_trip->usual;
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

}  // namespace backedpipe
