// Reading and writing of big-endian integers. Reader checks sizes; load and store do not.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include <boost/endian/conversion.hpp>

namespace backedpipe::wire {

template <typename Integer>
Integer load(const std::byte* from) {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return boost::endian::big_to_native(value);
}

template <typename Integer>
void store(std::byte* to, Integer value) {
  boost::endian::native_to_big_inplace(value);
  std::memcpy(to, &value, sizeof value);
}

// Reads fields one after the other. A field that is cut off yields nothing, and so does every field
// after it: if the last field of a group is there, all of them are.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename Integer>
  std::optional<Integer> integer() {
    const auto taken = take(sizeof(Integer));
    if (!taken) return std::nullopt;
    return load<Integer>(taken->data());
  }

  std::optional<std::span<const std::byte>> take(std::size_t count) {
    failed_ = failed_ || bytes_.size() < count;
    if (failed_) return std::nullopt;
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }

  std::size_t remaining() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  bool failed_ = false;
};

// Appends fields to a growing buffer.
class Writer {
 public:
  template <typename Integer>
  void integer(Integer value) {
    std::array<std::byte, sizeof value> field;
    store(field.data(), value);
    bytes(field);
  }

  void bytes(std::span<const std::byte> more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
  }

  std::vector<std::byte>& buffer() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace backedpipe::wire
