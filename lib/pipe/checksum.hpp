// Checksum: tells what was written on purpose from what a crash has scribbled over it. FNV-1a, 64
// bits; nobody is to be fooled by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace backedpipe {

class Checksum {
 public:
  Checksum& add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes)
      sum_ = (sum_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
    return *this;
  }
  template <typename Value>
  requires std::has_unique_object_representations_v<Value> Checksum& add(const Value& value) {
    return add(std::as_bytes(std::span(&value, 1)));
  }
  std::uint64_t value() const { return sum_; }

 private:
  std::uint64_t sum_ = 0xcbf29ce484222325;
};

}  // namespace backedpipe
