// Outbox: the frames that are on their way to the link. Filled only when it is empty, and never
// changed after that, so that a link may be offered the same bytes again after a partial write (a
// TLS record that could not be flushed must be retried with the same bytes). How much it is filled
// with follows what the link takes at once: much on a fast link, for few system calls; little on a
// slow one, so that a pong does not wait behind data. Only a filling that used all of the budget
// can raise it: small ones go through on any link. Part of a BackedPipe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pipe/ring_buffer.hpp"
#include "proto/frame.hpp"

namespace backedpipe {

class Outbox {
 public:
  bool empty() const { return front_ == frames_.size(); }
  // There is DATA in this filling, and not all of the filling has been taken.
  bool holds_data() const { return !empty() && payload_bytes_ > 0; }

  // Appends a frame; DATA with `payload_bytes` bytes that the writer's ring holds at frame.value.
  void add(const Frame& frame, std::size_t payload_bytes = 0);

  // How much payload to fill it with.
  std::size_t budget_bytes() const { return budget_; }

  // The bytes to send, as up to `out.size()` pieces; returns how many. They stay the same, but for
  // what taken() removes from their front.
  std::size_t pieces(const RingBuffer& ring, std::span<ConstBytes> out) const;

  // What a call to taken() has completed or advanced: up to where the stream is now with the link.
  struct Progress {
    std::uint64_t sequence = 0;  // 0: no DATA and no FIN was among it
    bool reset = false;          // a RESET has gone out
  };
  // The link has taken the first `count` bytes.
  Progress taken(std::size_t count);

  void clear();

 private:
  struct Entry {
    std::array<std::byte, kMaxFramePrefixBytes> prefix;
    std::uint8_t prefix_bytes;
    FrameType type;
    std::uint32_t payload_bytes;
    std::uint64_t offset;  // DATA, FIN
  };

  static constexpr std::size_t kFewFrames = 4;
  static constexpr std::size_t kLeastBudgetBytes = std::size_t{16} << 10;
  static constexpr std::size_t kMostBudgetBytes = std::size_t{1} << 20;

  std::vector<Entry> frames_;
  std::size_t front_ = 0;        // frames before it are done
  std::size_t front_taken_ = 0;  // bytes of the front frame already taken
  std::size_t budget_ = std::size_t{64} << 10;
  std::size_t payload_bytes_ = 0;  // of this filling
  bool was_partial_ = false;       // this filling has not gone out in one piece
};

}  // namespace backedpipe
