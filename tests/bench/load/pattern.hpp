// What bulk transfers carry: the byte at offset i of a stream is a function of i and of the stream,
// so that the receiver can check every byte without having seen the sender. The period is a prime:
// bytes that are lost, repeated or moved by a whole number of pages, segments or buffers do not
// fit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace backedpipe::bench {

// The most that is sent or received in one system call.
inline constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

class Pattern {
 public:
  Pattern() : table_(kPeriod + kChunkBytes) {
    for (std::size_t i = 0; i < table_.size(); ++i) {
      const std::uint64_t mixed = (i % kPeriod + 1) * 0x9E3779B97F4A7C15U;
      table_[i] = static_cast<std::byte>(mixed >> 56);
    }
  }

  // The bytes of a stream from `offset` on: at most `most`, and at most kChunkBytes.
  std::span<const std::byte> at(std::uint64_t stream, std::uint64_t offset,
                                std::uint64_t most) const {
    const std::uint64_t place = (offset + stream * kStreamShift) % kPeriod;
    return std::span(table_).subspan(
        static_cast<std::size_t>(place),
        static_cast<std::size_t>(std::min<std::uint64_t>(most, kChunkBytes)));
  }

  bool matches(std::uint64_t stream, std::uint64_t offset, std::span<const std::byte> bytes) const {
    return std::memcmp(at(stream, offset, bytes.size()).data(), bytes.data(), bytes.size()) == 0;
  }

 private:
  static constexpr std::size_t kPeriod = 65521;
  static constexpr std::uint64_t kStreamShift = 7919;

  std::vector<std::byte> table_;
};

}  // namespace backedpipe::bench
