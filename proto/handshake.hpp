// The handshake messages HELLO, WELCOME and REFUSED: values, their encoding, and an incremental
// decoder with a fixed buffer. PROTOCOL.md, section "Handshake", is the normative text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "proto/reason.hpp"
#include "proto/session_id.hpp"

namespace backedpipe {

inline constexpr std::uint8_t kProtocolVersion = 1;

// Limits of the handshake: one message including its preamble, a service name, a refusal's text.
inline constexpr std::size_t kMaxHandshakeBytes = 4096;
inline constexpr std::size_t kMaxServiceNameBytes = 64;
inline constexpr std::size_t kMaxRefusalTextBytes = 512;

// What one side states about the stream it receives; all three are absolute offsets.
struct Position {
  std::uint64_t delivered = 0;     // acknowledged: the application's socket has taken all before it
  std::uint64_t received = 0;      // replay starts here; never less than delivered
  std::uint64_t window_limit = 0;  // this side takes the bytes below this offset

  friend bool operator==(const Position&, const Position&) = default;
};

// What a HELLO offers and a WELCOME accepts, for the link that they open.
struct Extensions {
  bool reuse = false;    // it may carry another session after this one
  bool parting = false;  // PARTING may be sent on it

  friend bool operator==(const Extensions&, const Extensions&) = default;
};

// What both sides have.
inline Extensions operator&(const Extensions& offered, const Extensions& known) {
  return {.reuse = offered.reuse && known.reuse, .parting = offered.parting && known.parting};
}

struct Hello {
  SessionId session;
  std::uint64_t generation = 0;
  Position position;
  bool open = false;    // opens the session, nothing received yet; otherwise only resumes one
  std::string service;  // set exactly when open
  Extensions offers{};

  friend bool operator==(const Hello&, const Hello&) = default;
};

struct Welcome {
  SessionId session;
  std::uint64_t generation = 0;
  Position position;
  bool created = false;  // this HELLO created the session
  Extensions accepts{};  // at most what HELLO offers

  friend bool operator==(const Welcome&, const Welcome&) = default;
};

struct Refused {
  Reason reason = Reason::none;
  std::string text;  // for people; may be empty

  friend bool operator==(const Refused&, const Refused&) = default;
};

using HandshakeMessage = std::variant<Hello, Welcome, Refused>;

// The message's bytes, ready to be sent. A service name or text beyond its limit is cut.
std::vector<std::byte> encode(const Hello& hello);
std::vector<std::byte> encode(const Welcome& welcome);
std::vector<std::byte> encode(const Refused& refused);

// Takes one handshake message from a byte stream in pieces of any size. Uses no memory beyond its
// own fixed buffer, whatever length the wire announces. Lives as long as one handshake.
class HandshakeDecoder {
 public:
  // Takes bytes from the front of `input` and advances it past what belongs to the message; bytes
  // after a complete message stay in `input`. Errors: protocol_error for anything that is not a
  // handshake message within the limits, version_unsupported for another version.
  Result<void> feed(std::span<const std::byte>& input);

  bool complete() const { return complete_; }

  // The message; valid once it is complete.
  const HandshakeMessage& message() const { return message_; }

  // Bytes taken so far: tells a silent peer from one that stopped in the middle of its message.
  std::size_t size() const { return used_; }

 private:
  Result<void> check_preamble();
  Result<void> decode_body();

  std::array<std::byte, kMaxHandshakeBytes> buffer_;
  std::size_t used_ = 0;
  std::size_t wanted_ = 0;  // the whole message's size once the preamble has been read
  bool complete_ = false;
  HandshakeMessage message_;
};

}  // namespace backedpipe
