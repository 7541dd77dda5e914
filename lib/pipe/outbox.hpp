// Outbox: the frames that wait for the link to take them. It is filled only when it is empty, and
// not changed after that, so that a link can be offered the same bytes again after a partial write
// (TLS requires this of a record that could not be flushed). Part of a LinkState.
//
// Its budget, the most payload of one filling, follows what the link takes at once: large on a fast
// link, for few system calls; small on a slow one, so that a PONG need not wait for much data. Only
// a filling that used the whole budget can raise it, because small ones go through on any link.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pipe/ring_buffer.hpp"
#include "proto/frame.hpp"

namespace backedpipe {

class Outbox {
 public:
  static constexpr std::size_t kFirstBudgetBytes = std::size_t{64} << 10;

  explicit Outbox(std::size_t budget_bytes = kFirstBudgetBytes) : budget_(budget_bytes) {}

  bool empty() const { return front_ == frames_.size(); }
  // The filling has DATA in it and has not been taken completely.
  bool holds_data() const { return !empty() && payload_bytes_ > 0; }

  // Appends a frame; DATA with `payload_bytes` bytes that the writer's ring holds at frame.value.
  void add(const Frame& frame, std::size_t payload_bytes = 0);

  // The most payload to fill it with.
  std::size_t budget_bytes() const { return budget_; }

  // The bytes to send, as up to `out.size()` pieces; returns how many. They change only by what
  // taken() removes from their front.
  std::size_t pieces(const RingBuffer& ring, std::span<ConstBytes> out) const;

  // What a call of taken() has achieved.
  struct Progress {
    std::optional<std::uint64_t> sequence;  // the link has the stream up to here, if any was taken
    bool reset = false;                     // a RESET has been taken completely
    bool parting = false;                   // a PARTING has
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
  std::size_t budget_;
  std::size_t payload_bytes_ = 0;  // of this filling
  bool was_partial_ = false;       // the link did not take this filling in one piece
};

}  // namespace backedpipe
