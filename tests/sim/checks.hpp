// What must hold in every simulated world after every step. A broken rule throws a Violation, which
// names it.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "link.hpp"
#include "proto/frame.hpp"
#include "session/session.hpp"

namespace backedpipe::sim {

class Violation : public std::runtime_error {
 public:
  Violation(std::string_view rule, const std::string& what)
      : std::runtime_error(std::string(rule) + ": " + what) {}
};

inline void require(bool holds, std::string_view rule, std::string_view what) {
  if (!holds) [[unlikely]] {
    throw Violation(rule, std::string(what));
  }
}

// acknowledged ≤ sent ≤ highest sent ≤ end; delivered ≤ received ≤ limit.
void check_offsets(const Session& session);

// The rings of one session hold no more segments than they may.
void check_memory(const Session& session, const PipeOptions& options, std::size_t segment_bytes);

// Checks what one side puts on one link. Its DATA begins at the offset that the peer has stated,
// has no gap and no repetition, and stays within the peer's window. It acknowledges only what its
// application has taken.
class WireTap {
 public:
  // `peer` is the position that the peer stated in the handshake.
  void begin(const Position& peer);
  // These bytes were put on the link. `taken_sequence`: how much the sender's application has
  // taken; nothing when the sender has given up the stream.
  void put(ConstBytes bytes, std::optional<std::uint64_t> taken_sequence, WireTap& opposite);

 private:
  FrameDecoder decoder_;
  std::uint64_t next_ = 0;
  std::uint64_t limit_ = 0;
  std::uint64_t acknowledged_ = 0;
};

}  // namespace backedpipe::sim
