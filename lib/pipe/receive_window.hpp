// ReceiveWindow decides how far ahead of the application the peer may send: credit as an absolute
// offset that only grows. It starts small and doubles while the application takes more than half of
// it within two round trips, which is when the window and not the application is what limits the
// rate (the idea of flow control auto-tuning in QUIC stacks), and halves when half of it lasted for
// many round trips: it is larger than bandwidth times delay by then. On a short way a large window
// does not grow for round trips that are long because it has filled every queue itself. While
// memory is scarce it goes back to its first size. What was granted is never taken back. Part of a
// BackedReader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

struct RoundTrip {
  Duration usual{};  // smoothed, with all that waits on the way
  Duration least{};  // of the last minutes: the way itself
};

class ReceiveWindow {
 public:
  // From here on it is large: what is on its way does not stay in a processor's cache.
  static constexpr std::size_t kLargeBytes = std::size_t{2} << 20;

  ReceiveWindow(std::size_t initial_bytes, std::size_t max_bytes);

  // The application has taken everything before `delivered`. The window follows the rate, and does
  // not grow while memory is `scarce`; `round_trip` is nothing as long as it has not been measured.
  void on_delivered(std::uint64_t delivered, TimePoint now, std::optional<RoundTrip> round_trip,
                    bool scarce);

  // The highest offset the peer has been allowed to reach, as last stated.
  std::uint64_t stated_limit() const { return stated_; }
  // It is worth telling the peer: the limit has moved by a quarter of the window.
  bool update_due() const { return limit_ > stated_ && limit_ - stated_ >= size_ / 4; }
  // States the current limit, and returns it.
  std::uint64_t state_limit() { return stated_ = limit_; }

  std::size_t size_bytes() const { return size_; }

 private:
  friend class PipeSnapshot;

  std::size_t initial_;
  std::size_t max_;
  std::size_t size_;
  std::uint64_t limit_;
  std::uint64_t stated_;
  std::uint64_t epoch_offset_ = 0;
  std::optional<TimePoint> epoch_start_;
};

}  // namespace backedpipe
