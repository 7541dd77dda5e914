// How a link is read: what goes on with a DATA frame goes straight to where it belongs.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "pipe/ring_buffer.hpp"
#include "pipe/time.hpp"

namespace backedpipe::test {

// Puts as much of `bytes` as it can into what a pipe or session has prepared for it. Returns how
// much that was; receive() must follow.
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
