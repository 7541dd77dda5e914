// What the fuzz targets share: the fuzzer's bytes taken as decisions, and the check that ends a
// run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

namespace backedpipe::fuzz {

// Stays on whatever the build; the fuzzer keeps the input that got here.
inline void require(bool holds, const char* what) {
  if (holds) [[likely]] {
    return;
  }
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

// Decisions from the front of the fuzzer's bytes; zeroes once they have run out. The bytes belong
// to the fuzzer.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size)
      : bytes_(std::as_bytes(std::span(data, size))) {}

  bool empty() const { return bytes_.empty(); }
  std::size_t size() const { return bytes_.size(); }

  std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
  std::uint64_t number(std::size_t size_bytes) {
    std::uint64_t value = 0;
    for (const std::byte byte : take(size_bytes))
      value = value << 8 | static_cast<std::uint8_t>(byte);
    return value;
  }
  bool coin() { return (byte() & 1) != 0; }

  // At most `count` bytes.
  std::span<const std::byte> take(std::size_t count) {
    const auto taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }
  std::span<const std::byte> rest() { return take(bytes_.size()); }

 private:
  std::span<const std::byte> bytes_;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Sizes for the pieces of a stream: a short pattern from the input, repeated; each size at least 1.
class Splitter {
 public:
  explicit Splitter(FuzzInput& input) : pattern_(input.take(4)) {}

  std::size_t next(std::size_t available) {
    const std::size_t size =
        pattern_.empty() ? 1 : 1 + static_cast<std::size_t>(pattern_[turn_++ % pattern_.size()]);
    return std::min(size, available);
  }

 private:
  std::span<const std::byte> pattern_;
  std::size_t turn_ = 0;
};

}  // namespace backedpipe::fuzz
