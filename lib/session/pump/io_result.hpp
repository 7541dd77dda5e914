// IoResult: the outcome of one attempt at a non-blocking read or write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/system/error_code.hpp>

#include "pipe/ring_buffer.hpp"

namespace backedpipe {

struct IoResult {
  enum class Status : std::uint8_t {
    ok,          // `bytes` were moved, at least one
    want_read,   // nothing was moved; try again when the socket is readable
    want_write,  // the same, when it is writable
    closed,      // read: the other side has ended the stream
    failed,      // see `error`
  };
  Status status = Status::ok;
  std::size_t bytes = 0;
  // The socket took or gave less than asked: another attempt now would move nothing.
  bool drained = false;
  boost::system::error_code error{};
};

// The most pieces in one attempt.
inline constexpr std::size_t kMaxPieces = 64;

template <typename Piece>
std::size_t total_bytes(std::span<const Piece> pieces) {
  std::size_t total = 0;
  for (const Piece& piece : pieces)
    total += piece.size();
  return total;
}

}  // namespace backedpipe
