// The handshake of one link, for each role: bytes in, bytes out, a verdict at the end. Both classes
// live as long as the handshake and own no socket. The deadline is absolute, so that a peer gains
// nothing by sending a byte now and then.
#pragma once

#include <cstddef>
#include <vector>

#include "pipe/ring_buffer.hpp"
#include "pipe/time.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

// From the accepted (or dialled) connection to the WELCOME, the transport's own handshake included.
inline constexpr Duration kHandshakeTimeout = std::chrono::seconds(10);

// Sends HELLO, waits for WELCOME or REFUSED.
class ClientHandshake {
 public:
  explicit ClientHandshake(const Hello& hello);

  ConstBytes outgoing() const { return ConstBytes(bytes_).subspan(sent_); }
  void sent(std::size_t count) { sent_ += count; }

  // Takes the answer's bytes from the front of `input`; frames after it stay there. Errors: those
  // of HandshakeDecoder; protocol_error for an answer to another HELLO, and for one that claims to
  // have created a session that this HELLO only resumes.
  Result<void> receive(ConstBytes& input);
  bool complete() const { return decoder_.complete(); }

  // Valid once complete: exactly one of them is set.
  const Welcome* welcome() const { return std::get_if<Welcome>(&decoder_.message()); }
  const Refused* refused() const { return std::get_if<Refused>(&decoder_.message()); }

 private:
  SessionId session_;
  std::uint64_t generation_;
  bool opens_;
  std::vector<std::byte> bytes_;
  std::size_t sent_ = 0;
  HandshakeDecoder decoder_;
};

// Waits for HELLO, then sends the WELCOME or REFUSED that its owner has chosen.
class ServerHandshake {
 public:
  // Takes the HELLO's bytes from the front of `input`. Errors: those of HandshakeDecoder;
  // protocol_error for anything but a HELLO.
  Result<void> receive(ConstBytes& input);
  bool complete() const { return decoder_.complete(); }
  // Valid once complete.
  const Hello& hello() const { return std::get<Hello>(decoder_.message()); }
  // How much of the HELLO has come.
  std::size_t received_bytes() const { return decoder_.size(); }

  void answer(const Welcome& welcome) { bytes_ = encode(welcome); }
  void answer(const Refused& refused) { bytes_ = encode(refused); }
  ConstBytes outgoing() const { return ConstBytes(bytes_).subspan(sent_); }
  void sent(std::size_t count) { sent_ += count; }

 private:
  std::vector<std::byte> bytes_;
  std::size_t sent_ = 0;
  HandshakeDecoder decoder_;
};

}  // namespace backedpipe
