#include "socket.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace backedpipe::bench {
namespace {

constexpr int kBacklog = 4096;
constexpr long kPatienceSeconds = 60;

sockaddr_in native(const Address& address) {
  sockaddr_in native{};
  native.sin_family = AF_INET;
  native.sin_addr.s_addr = address.host;
  native.sin_port = address.port;
  return native;
}

void set(const Fd& fd, int level, int option, int value) {
  if (::setsockopt(fd.get(), level, option, &value, sizeof value) != 0) fail("setsockopt");
}

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

void fail(const std::string& what) {
  const int error = errno;
  std::fprintf(stderr, "bench_load: %s%s%s\n", what.c_str(), error != 0 ? ": " : "",
               error != 0 ? std::strerror(error) : "");
  std::exit(1);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Address parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Address address;
  in_addr host{};
  errno = 0;
  if (colon == std::string::npos || ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &host) != 1)
    fail("not HOST:PORT: " + text);
  address.host = host.s_addr;
  address.port =
      htons(static_cast<std::uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
  return address;
}

Fd listen_on(const Address& address) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const sockaddr_in where = native(address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) fail("bind");
  if (::listen(fd.get(), kBacklog) != 0) fail("listen");
  return fd;
}

std::uint16_t port_of(const Fd& listener) {
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    fail("getsockname");
  return ntohs(bound.sin_port);
}

Fd connect_to(const Address& address, Blocking blocking) {
  const int flags = blocking == Blocking::yes ? 0 : SOCK_NONBLOCK;
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) fail("socket");
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (blocking == Blocking::yes) {
    const timeval patience{kPatienceSeconds, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  const sockaddr_in where = native(address);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 &&
      errno != EINPROGRESS)
    fail("connect");
  return fd;
}

Fd accept_from(const Fd& listener) {
  Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd)
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  else if (!would_block() && errno != ECONNABORTED)
    fail("accept");
  return fd;
}

void reset_on_close(const Fd& fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void send_all(const Fd& fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) fail("send");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void receive_all(const Fd& fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    errno = 0;
    const ssize_t count = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
    if (count <= 0) fail(count == 0 ? "the stream ended early" : "receive");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

std::size_t send_some(const Fd& fd, std::span<const std::byte> bytes, bool& ended) {
  const ssize_t count = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (count >= 0) return static_cast<std::size_t>(count);
  if (!would_block()) ended = true;
  return 0;
}

std::size_t receive_some(const Fd& fd, std::span<std::byte> bytes, bool& ended) {
  const ssize_t count = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
  if (count > 0) return static_cast<std::size_t>(count);
  if (count == 0 || !would_block()) ended = true;
  return 0;
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) fail("epoll_create1");
}

std::span<const epoll_event> Poller::wait(int timeout_ms) {
  const int count =
      ::epoll_wait(epoll_.get(), ready_, static_cast<int>(std::size(ready_)), timeout_ms);
  return std::span(ready_, static_cast<std::size_t>(count < 0 ? 0 : count));
}

void Poller::control(int operation, const Fd& fd, std::uint32_t events, void* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (::epoll_ctl(epoll_.get(), operation, fd.get(), &event) != 0) fail("epoll_ctl");
}

}  // namespace backedpipe::bench
