// Descriptors for tests that use sockets without Asio: owned ones, and connected TCP sockets.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backedpipe::test {

// Closes its descriptor at the end.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : descriptor_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    close();
    descriptor_ = other.release();
    return *this;
  }

  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_ = -1;
};

// A socket on the loopback address that listens.
class LoopbackListener {
 public:
  LoopbackListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (::bind(socket_.get(), address(), size) != 0 || ::listen(socket_.get(), 128) != 0 ||
        ::getsockname(socket_.get(), address(), &size) != 0) {
      std::abort();
    }
  }

  // A blocking socket that is connected to this listener.
  Descriptor dial() const {
    Descriptor dialled(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(dialled.get(), address(), sizeof address_) != 0) std::abort();
    return dialled;
  }
  Descriptor accept() const {
    return Descriptor(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  sockaddr* address() const {
    return reinterpret_cast<sockaddr*>(const_cast<sockaddr_in*>(&address_));
  }

  Descriptor socket_;
  sockaddr_in address_{};
};

struct TcpPair {
  Descriptor dialled;
  Descriptor accepted;
};

inline TcpPair connect_tcp(const LoopbackListener& listener) {
  TcpPair pair{.dialled = listener.dial(), .accepted = {}};
  pair.accepted = listener.accept();
  return pair;
}

// Whether there is something to read, be it the end, without waiting.
inline bool is_readable(const Descriptor& socket) {
  pollfd poll{.fd = socket.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

}  // namespace backedpipe::test
