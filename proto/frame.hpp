// Frames: what travels on a link after the handshake. Encoding into a fixed buffer, and an
// incremental decoder that hands out DATA in whatever pieces it arrives. PROTOCOL.md, section
// "Frames", is normative.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "proto/reason.hpp"

namespace backedpipe {

enum class FrameType : std::uint8_t {
  data = 1,    // application bytes, starting at an offset
  fin = 2,     // the end of the stream, at an offset
  ack = 3,     // nothing but the acknowledgement
  window = 4,  // the window limit: the sender takes the bytes below it
  ping = 5,    // asks for a PONG with the same token
  pong = 6,
  reset = 7,    // the session is over, with a reason
  parting = 8,  // the sender's daemon ends, and may be back within a time
};

// Every frame begins with type, three zero bytes, body length and acknowledgement.
inline constexpr std::size_t kFrameHeaderBytes = 16;
// The most bytes of a frame before a DATA frame's payload.
inline constexpr std::size_t kMaxFramePrefixBytes = kFrameHeaderBytes + 8;
// The most payload one DATA frame may carry.
inline constexpr std::size_t kMaxPayloadBytes = std::size_t{1} << 20;

// One frame, or a piece of a DATA frame.
struct Frame {
  FrameType type = FrameType::ack;
  std::uint64_t acknowledgement = 0;  // the sender has delivered everything before this offset
  // DATA: offset of the first payload byte; FIN: offset of the end; WINDOW: limit; PING, PONG:
  // token; RESET: the reason; PARTING: milliseconds; ACK: nothing.
  std::uint64_t value = 0;

  Reason reason() const { return static_cast<Reason>(value); }
};

// Writes all of `frame` but the payload to `out`, for a payload of `payload_bytes` (DATA only; at
// most kMaxPayloadBytes). Returns the number of bytes written.
std::size_t encode(const Frame& frame, std::size_t payload_bytes,
                   std::span<std::byte, kMaxFramePrefixBytes> out);

// Splits a byte stream into frames, in pieces of any size, without allocating.
class FrameDecoder {
 public:
  struct Event {
    Frame frame;                         // for DATA, `value` is the offset of this piece
    std::span<const std::byte> payload;  // a piece of a DATA frame, inside the caller's input
  };

  // Takes the next frame, or piece of a DATA frame, from the front of `input` and advances `input`
  // past it. Nothing when more bytes are needed. After an error (protocol_error) the decoder must not
  // be used again.
  Result<std::optional<Event>> next(std::span<const std::byte>& input);

  // How much of the current DATA frame's payload is still to come, from offset frame().value on.
  std::size_t payload_left() const { return payload_left_; }
  const Frame& frame() const { return frame_; }
  // True when the next byte begins a frame.
  bool at_boundary() const { return prefix_used_ == 0 && payload_left_ == 0; }
  // Counts the next `count` payload bytes as decoded: the caller has read them straight into their
  // destination. Returns the event that next() would have given for them, without the payload.
  // Precondition: count ≤ payload_left().
  Event skip(std::size_t count);

  // Undoes the decoding of the last `count` bytes of the latest piece: the caller could not take
  // them and will pass them to next() again. Precondition: they were in that piece.
  void put_back(std::size_t count);

 private:
  std::array<std::byte, kMaxFramePrefixBytes> prefix_;
  std::size_t prefix_used_ = 0;
  std::size_t prefix_wanted_ = kFrameHeaderBytes;
  Frame frame_;
  std::size_t payload_left_ = 0;  // of the current DATA frame
};

}  // namespace backedpipe
