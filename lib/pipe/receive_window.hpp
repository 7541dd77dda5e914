// ReceiveWindow decides how far ahead of the application the peer may send: credit as an absolute
// offset that only grows. Part of a BackedReader.
//
// - It starts small, and doubles while the application takes more than half of it within two round
//   trips: then the window limits the rate, not the application (QUIC stacks do the same).
// - It halves when half of it has lasted for many round trips: then it is larger than bandwidth
//   times delay.
// - On a short path a large window fills every queue, which makes round trips long. It does not
//   grow because of those.
// - While memory is scarce it returns to its first size. What was granted is never taken back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "pipe/round_trips.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

class ReceiveWindow {
 public:
  // A window of at least this is large: bytes in flight no longer fit into a processor's cache.
  static constexpr std::size_t kLargeBytes = std::size_t{2} << 20;

  ReceiveWindow(std::size_t initial_bytes, std::size_t max_bytes);

  // The application has taken everything before `delivered`. The window follows the rate, and does
  // not grow while memory is `scarce`. `round_trip` is empty until it has been measured.
  void on_delivered(std::uint64_t delivered, TimePoint now, std::optional<RoundTrip> round_trip,
                    bool scarce);

  // The highest offset the peer has been allowed to reach, as last stated.
  std::uint64_t stated_limit() const { return stated_; }
  // The limit has moved by a quarter of the window, which is worth a frame.
  bool update_due() const { return limit_ > stated_ && limit_ - stated_ >= size_ / 4; }
  // States the current limit, and returns it.
  std::uint64_t state_limit() { return stated_ = limit_; }

  std::size_t size_bytes() const { return size_; }
  // The highest offset that may be stated; see state_limit().
  std::uint64_t limit() const { return limit_; }
  // Continues with the size and limit of another window, which has stated that limit. A size of 0 is
  // not known: it begins as a new one, after the application has taken everything before
  // `delivered`.
  void restore(std::size_t size_bytes, std::uint64_t limit, std::uint64_t delivered);

 private:
  std::size_t initial_;
  std::size_t max_;
  std::size_t size_;
  std::uint64_t limit_;
  std::uint64_t stated_;
  // The rate is measured from here on.
  std::uint64_t epoch_offset_ = 0;
  std::optional<TimePoint> epoch_start_;
};

}  // namespace backedpipe
