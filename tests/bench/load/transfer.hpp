// Transfer: one end of a checked bulk stream, in both directions at once, on a non-blocking socket.
// Load and target use the same. And the request with which a connection tells the target what it is
// for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "pattern.hpp"
#include "socket.hpp"

namespace backedpipe::bench {

// The first bytes of every connection to the target, in the machine's byte order.
struct Request {
  enum class Mode : std::uint64_t { echo = 1, bulk = 2 };
  Mode mode = Mode::echo;
  std::uint64_t stream = 0;
  std::uint64_t up_bytes = 0;    // bulk: to the target
  std::uint64_t down_bytes = 0;  // bulk: from the target
};

// What the target says behind the bulk it sends, once it has received all that it was to receive.
struct Verdict {
  std::uint64_t received_bytes = 0;
  std::uint64_t matches = 0;
};

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <typename T>
std::span<std::byte> writable_bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

class Transfer {
 public:
  // One for each direction.
  struct Sizes {
    std::uint64_t send_bytes = 0;
    std::uint64_t receive_bytes = 0;
  };

  Transfer(const Pattern& pattern, std::uint64_t stream, const Sizes& sizes)
      : pattern_(&pattern), stream_(stream), sizes_(sizes) {}

  bool all_sent() const { return sent_ == sizes_.send_bytes; }
  bool all_received() const { return received_ == sizes_.receive_bytes; }
  bool matches() const { return matches_; }
  std::uint64_t received() const { return received_; }

  // The socket is writable, or readable: one system call.
  void send(const Fd& fd, bool& ended) {
    sent_ += send_some(fd, pattern_->at(stream_, sent_, sizes_.send_bytes - sent_), ended);
  }
  // `buffer` is shared by all transfers of a thread, so that it stays in cache.
  void receive(const Fd& fd, std::span<std::byte> buffer, bool& ended) {
    const std::uint64_t left = sizes_.receive_bytes - received_;
    const std::size_t count = receive_some(
        fd, buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size()))),
        ended);
    matches_ = matches_ && pattern_->matches(stream_, received_, buffer.first(count));
    received_ += count;
  }

 private:
  const Pattern* pattern_;
  std::uint64_t stream_;
  Sizes sizes_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool matches_ = true;
};

}  // namespace backedpipe::bench
