// SegmentLimit: the TCP segment size for links to one peer, on a path that swallows large packets
// without a word (an MTU black hole, RFC 2923 section 2.1): handshakes pass, the first full
// segments never arrive, and each new link would begin with the same size again. When links of a
// session die young, one after the other, before any data has passed, the next ones are given
// smaller segments. What a session found out serves the others, and is tried anew after a while.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

// What every path carries without its headers: the least MTU of IPv6, 1280 bytes (RFC 8200 section
// 5), and what IPv4 allows for, 576 bytes (RFC 9293 section 3.7.1).
inline constexpr std::array<std::uint16_t, 2> kSmallSegmentBytes{1220, 536};

// No path swallows packets as small as this. A WELCOME goes out with no more beside it, so that the
// client learns that the path works for something.
inline constexpr std::size_t kSmallPacketBytes = 256;

class SegmentLimit {
 public:
  struct Choice {
    std::optional<std::uint16_t> bytes;  // nothing: the size that the system chooses
    bool is_new = false;                 // until now, other dials used another size
  };

  // For the next dial of a session of which so many links have died young in a row (see
  // Session::fruitless_links).
  Choice for_dial(std::uint32_t fruitless, TimePoint now) {
    if (now >= until_) limit_.reset();
    if (fruitless < kFruitlessLinks) return {limit_};
    const std::size_t step = (fruitless - kFruitlessLinks) % (kSmallSegmentBytes.size() + 1);
    // No size has helped this session, so it is not the size. Others may know better.
    if (step == kSmallSegmentBytes.size()) return {};
    const bool is_new = limit_ != kSmallSegmentBytes[step];
    limit_ = kSmallSegmentBytes[step];
    until_ = now + kKeptFor;
    return {limit_, is_new};
  }
  // The path may be another one.
  void forget() { limit_.reset(); }

 private:
  // One may be bad luck.
  static constexpr std::uint32_t kFruitlessLinks = 2;
  // As long as kernels remember what they were told about a path (RFC 1191 section 6.3).
  static constexpr Duration kKeptFor = std::chrono::minutes(10);

  std::optional<std::uint16_t> limit_;
  TimePoint until_{};
};

}  // namespace backedpipe
