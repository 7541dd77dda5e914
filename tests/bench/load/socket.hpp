// The few socket calls that the subjects share. Errors of the set-up end the program with a
// sentence: a benchmark has nothing to save.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <sys/epoll.h>

namespace backedpipe::bench {

// Prints a sentence, with errno's text if there is any, and exits.
[[noreturn]] void fail(const std::string& what);

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

// HOST:PORT with a numeric IPv4 host.
struct Address {
  std::uint32_t host = 0;  // in network byte order, as is the port
  std::uint16_t port = 0;
};
Address parse_address(const std::string& text);

enum class Blocking : bool { no, yes };

Fd listen_on(const Address& address);
// The port that was bound.
std::uint16_t port_of(const Fd& listener);
// With TCP_NODELAY. A non-blocking one is connected, or has failed, once it is writable. A blocking
// one gives up waiting for a byte after a minute.
Fd connect_to(const Address& address, Blocking blocking);
// The next connection, non-blocking and with TCP_NODELAY; none if nobody waits.
Fd accept_from(const Fd& listener);
// The connection ends with a reset instead of an end of stream.
void reset_on_close(const Fd& fd);

void send_all(const Fd& fd, std::span<const std::byte> bytes);
// Ends the program if the stream ends before.
void receive_all(const Fd& fd, std::span<std::byte> bytes);
// Non-blocking: how much; nothing if it would block. Whatever else goes wrong counts as the end:
// `ended` is set.
std::size_t send_some(const Fd& fd, std::span<const std::byte> bytes, bool& ended);
std::size_t receive_some(const Fd& fd, std::span<std::byte> bytes, bool& ended);

// As many file descriptors as the system lets us have.
void raise_descriptor_limit();

class Poller {
 public:
  Poller();
  // `owner` comes back with each event.
  void add(const Fd& fd, std::uint32_t events, void* owner) {
    control(EPOLL_CTL_ADD, fd, events, owner);
  }
  void change(const Fd& fd, std::uint32_t events, void* owner) {
    control(EPOLL_CTL_MOD, fd, events, owner);
  }
  // What is ready now, or within `timeout_ms` (-1: whenever).
  std::span<const epoll_event> wait(int timeout_ms = -1);

 private:
  void control(int operation, const Fd& fd, std::uint32_t events, void* owner);

  Fd epoll_;
  epoll_event ready_[512];
};

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace backedpipe::bench
