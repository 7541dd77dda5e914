// One side of the two that fuzz_pipe plays against each other: a pipe with memory of its own, what
// its application has written and taken, and what must hold for it at any time. Owned by a World.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/system/errc.hpp>

#include "pipe/backed_pipe.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {

inline constexpr std::size_t kSegmentBytes = 16;
inline constexpr std::size_t kSegmentCount = 32;

enum Side : std::size_t { kClient, kServer };

inline Side other(Side side) {
  return side == kClient ? kServer : kClient;
}

// Neighbouring places, and places a segment or a window apart, hold different bytes; so do the two
// directions.
inline std::byte byte_at(Side writer, std::uint64_t offset) {
  return static_cast<std::byte>((offset + 1 + 77 * writer) * 0x9E3779B97F4A7C15U >> 56);
}

inline boost::system::error_code connection_reset() {
  return make_error_code(boost::system::errc::connection_reset);
}

class End {
 public:
  explicit End(const PipeOptions& options) : options_(options) { start_anew(); }

  BackedPipe& operator*() { return *pipe_; }
  BackedPipe* operator->() { return &*pipe_; }
  const BackedPipe* operator->() const { return &*pipe_; }

  // The process is replaced; the pipe goes on from its snapshot.
  void restart() {
    const std::vector<std::byte> state = pipe_->snapshot();
    start_anew();
    require(pipe_->restore(state).has_value(), "a snapshot can be restored");
    require(pipe_->snapshot() == state, "a restored state is the same state");
  }

  void check() const {
    const BackedWriter& writer = pipe_->writer();
    const BackedReader& reader = pipe_->reader();
    require(writer.ring().size() <= options_.replay_buffer_bytes, "the replay buffer has a limit");
    require(reader.ring().size() <= options_.max_window_bytes, "the window has a limit");
    require(reader.window().size_bytes() <= options_.max_window_bytes, "the window has a limit");
    require(reader.delivered_sequence() <= reader.received_sequence(), "delivered is received");
    for (const RingBuffer* ring : {&writer.ring(), &reader.ring()}) {
      require(ring->segment_count() <= (ring->size() + 2 * kSegmentBytes - 2) / kSegmentBytes,
              "no more segments than the bytes need");
      require(!ring->empty() || ring->segment_count() == 0, "nothing held, no memory held");
    }
    require(
        pool_->segments_in_use() == writer.ring().segment_count() + reader.ring().segment_count(),
        "every segment belongs to a ring");
    const bool offsets_mean_something =
        !pipe_->resetting() && pipe_->state() != PipeState::closed && !was_reset;
    if (offsets_mean_something) {
      require(writer.acknowledged() <= writer.sent() && writer.sent() <= writer.highest_sent() &&
                  writer.highest_sent() <= writer.end(),
              "acknowledged, sent, ever sent, end: in this order");
    }
  }

  std::uint64_t written = 0;
  std::uint64_t delivered = 0;
  bool ended = false;      // the application was told of the end of the stream
  bool misled = false;     // something that reached this side was forged
  bool was_reset = false;  // its data was discarded at some time

 private:
  void start_anew() {
    pipe_.reset();
    arena_.assign(kSegmentCount * kSegmentBytes, std::byte{0xA5});
    pool_.emplace(arena_, kSegmentBytes);
    pipe_.emplace(*pool_, options_);
  }

  PipeOptions options_;
  std::vector<std::byte> arena_;
  std::optional<SegmentPool> pool_;
  std::optional<BackedPipe> pipe_;
};

}  // namespace backedpipe::fuzz
