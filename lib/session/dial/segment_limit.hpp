// SegmentLimit: the TCP segment size for links to one peer, on a path that swallows large packets
// without a word (an MTU black hole, RFC 2923 section 2.1): handshakes pass, the first full segments
// never arrive, and each new link would begin with the same size again. When links of a session
// die young, one after the other, before any data has passed, the next ones are given smaller
// segments. What a session found out serves the others, and is tried anew after a while.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

// The largest segment that every path of IPv6 carries: its least MTU of 1280 bytes (RFC 8200 section
// 5) without the headers.
inline constexpr std::uint16_t kSmallSegmentBytes = 1220;

class SegmentLimit {
 public:
  // For the next dial of a session of which so many links have died young in a row (see
  // Session::fruitless_links). Nothing: the size that the system chooses.
  std::optional<std::uint16_t> for_dial(std::uint32_t fruitless, TimePoint now) {
    if (fruitless >= kFruitlessLinks) {
      limit_ = kLadder[(fruitless - kFruitlessLinks) % kLadder.size()];
      until_ = now + kKeptFor;
    }
    return now < until_ ? limit_ : std::nullopt;
  }
  // The path may be another one.
  void forget() { limit_.reset(); }

 private:
  // One may be bad luck.
  static constexpr std::uint32_t kFruitlessLinks = 2;
  // As long as kernels remember what they were told about a path (RFC 1191 section 6.3).
  static constexpr Duration kKeptFor = std::chrono::minutes(10);
  // The second is for the least that IPv4 allows for, 576 bytes (RFC 9293 section 3.7.1). If that
  // does not help either, it is not the size.
  static constexpr std::array<std::optional<std::uint16_t>, 3> kLadder{kSmallSegmentBytes, 536,
                                                                       std::nullopt};

  std::optional<std::uint16_t> limit_;
  TimePoint until_{};
};

}  // namespace backedpipe
