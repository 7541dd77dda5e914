// What the tests of the accepting side share: ids, HELLOs, and the peer's end of a link.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "proto/handshake.hpp"

namespace backedpipe {

inline void PrintTo(Reason reason, std::ostream* out) {
  *out << name(reason);
}

}  // namespace backedpipe

namespace backedpipe::test {

inline SessionId id_of(std::uint8_t number) {
  SessionId id;
  id.bytes[0] = number;
  return id;
}

inline Hello opening(std::uint8_t number, std::uint64_t generation = 1) {
  return {.session = id_of(number),
          .generation = generation,
          .position = {},
          .open = true,
          .service = "ssh"};
}

inline Hello resuming(std::uint8_t number, std::uint64_t generation = 2) {
  return {.session = id_of(number),
          .generation = generation,
          .position = {},
          .open = false,
          .service = {}};
}

// The peer's end of a link: a socket that is non-blocking once it is connected.
class FarEnd {
 public:
  explicit FarEnd(int descriptor) : descriptor_(descriptor) {}
  ~FarEnd() { close(); }
  FarEnd(FarEnd&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), answer_(std::move(other.answer_)) {}
  FarEnd& operator=(FarEnd&&) = delete;

  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  void send(const void* data, std::size_t size) const {
    ::send(descriptor_, data, size, MSG_NOSIGNAL);
  }
  void say(const Hello& hello) const {
    const std::vector<std::byte> bytes = encode(hello);
    send(bytes.data(), bytes.size());
  }
  // Whether the answer to the HELLO has arrived.
  bool answered() {
    std::array<std::byte, 1> byte;
    while (!answer_.complete() && ::recv(descriptor_, byte.data(), 1, MSG_DONTWAIT) == 1) {
      ConstBytes input(byte);
      if (!answer_.feed(input)) return false;
    }
    return answer_.complete();
  }
  bool welcomed() { return answered() && std::holds_alternative<Welcome>(answer_.message()); }
  // The reason of the refusal; none if no answer has arrived, or another one.
  Reason refused() {
    if (!answered()) return Reason::none;
    const auto* const refused = std::get_if<Refused>(&answer_.message());
    return refused != nullptr ? refused->reason : Reason::none;
  }
  // Only the end is left to read, or the reset of a link that was closed with unread bytes.
  bool at_end() {
    std::array<std::byte, 256> bytes;
    ssize_t got = 0;
    do {
      got = ::recv(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    } while (got > 0);
    return got == 0 || errno == ECONNRESET;
  }

 private:
  using ConstBytes = std::span<const std::byte>;

  int descriptor_;
  HandshakeDecoder answer_;
};

}  // namespace backedpipe::test
