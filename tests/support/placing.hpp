// Reading a link as the session driver does: payload of a DATA frame that has begun goes straight
// into the memory that the pipe has prepared.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "pipe/ring_buffer.hpp"
#include "pipe/time.hpp"

namespace backedpipe::test {

// Copies as many of `bytes` as possible into the memory that a pipe or session has prepared.
// Returns how many; receive() must be called after that.
template <typename Receiver>
std::size_t place(Receiver& receiver, std::uint64_t generation, ConstBytes bytes) {
  std::array<MutableBytes, 4> pieces;
  const std::size_t count = receiver.prepare_receive(generation, bytes.size(), pieces);
  std::size_t placed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(pieces[i].data(), bytes.data() + placed, pieces[i].size());
    placed += pieces[i].size();
  }
  return placed;
}

}  // namespace backedpipe::test
