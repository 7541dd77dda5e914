#include "net/socket/stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>

namespace backedpipe {
namespace {

// Returns their total size in bytes.
template <typename Piece>
std::size_t to_vectors(std::span<const Piece> pieces, std::array<iovec, kMaxPieces>& vectors,
                       int& count) {
  pieces = pieces.first(std::min(pieces.size(), kMaxPieces));
  count = 0;
  for (const Piece& piece : pieces) {
    iovec& vector = vectors[static_cast<std::size_t>(count++)];
    vector.iov_base = const_cast<std::byte*>(piece.data());
    vector.iov_len = piece.size();
  }
  return total_bytes(pieces);
}

IoResult to_result(ssize_t moved, std::size_t asked, IoResult::Status blocked) {
  if (moved > 0) {
    const auto bytes = static_cast<std::size_t>(moved);
    return {IoResult::Status::ok, bytes, bytes < asked, {}};
  }
  if (moved == 0) return {IoResult::Status::closed, 0, true, {}};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {blocked, 0, true, {}};
  return {IoResult::Status::failed, 0, true, {errno, boost::system::system_category()}};
}

// Nothing for a family without ports.
std::optional<boost::asio::ip::tcp::endpoint> to_tcp(const StreamSocket::endpoint_type& end) {
  const int family = end.protocol().family();
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  boost::asio::ip::tcp::endpoint endpoint;
  endpoint.resize(end.size());
  std::memcpy(endpoint.data(), end.data(), end.size());
  // A dual-stack listener sees IPv4 peers as mapped addresses. Show them as IPv4.
  const auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    endpoint.address(boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6()));
  }
  return endpoint;
}

std::optional<boost::asio::ip::tcp::endpoint> remote_endpoint(const StreamSocket& socket) {
  boost::system::error_code error;
  const auto remote = socket.remote_endpoint(error);
  return error ? std::nullopt : to_tcp(remote);
}

// Nothing for a socket without a local port.
std::optional<boost::asio::ip::tcp::endpoint> local_endpoint(int socket) {
  StreamSocket::endpoint_type end;
  auto size = static_cast<socklen_t>(end.capacity());
  if (::getsockname(socket, end.data(), &size) != 0) return std::nullopt;
  end.resize(size);
  return to_tcp(end);
}

std::string address_text(const std::optional<boost::asio::ip::tcp::endpoint>& endpoint,
                         const StreamSocket& socket) {
  if (!endpoint) return socket.is_open() ? "unix" : "";
  const std::string host = endpoint->address().to_string();
  const std::string port = std::to_string(endpoint->port());
  return endpoint->address().is_v6() ? "[" + host + "]:" + port : host + ":" + port;
}

std::string host_text(const boost::asio::ip::tcp::endpoint& endpoint) {
  if (endpoint.address().is_v4()) return endpoint.address().to_string();
  // One machine can use any number of addresses within its /64 network.
  auto bytes = endpoint.address().to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return boost::asio::ip::address_v6(bytes).to_string();
}

}  // namespace

IoResult read_some(int socket, std::span<const MutableBytes> pieces) {
  std::array<iovec, kMaxPieces> vectors;
  int count = 0;
  const std::size_t asked = to_vectors(pieces, vectors, count);
  ssize_t moved = 0;
  do {
    // Most calls have one piece, for which recv() costs less than readv().
    moved = count == 1 ? ::recv(socket, vectors[0].iov_base, vectors[0].iov_len, 0)
                       : ::readv(socket, vectors.data(), count);
  } while (moved < 0 && errno == EINTR);
  return to_result(moved, asked, IoResult::Status::want_read);
}

IoResult write_some(int socket, std::span<const ConstBytes> pieces) {
  std::array<iovec, kMaxPieces> vectors;
  int count = 0;
  const std::size_t asked = to_vectors(pieces, vectors, count);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = static_cast<std::size_t>(count);
  ssize_t moved = 0;
  do {
    moved = count == 1 ? ::send(socket, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                       : ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (moved < 0 && errno == EINTR);
  return to_result(moved, asked, IoResult::Status::want_write);
}

std::string remote_address(const StreamSocket& socket) {
  return address_text(remote_endpoint(socket), socket);
}

Remote remote_of(const StreamSocket& socket) {
  const auto endpoint = remote_endpoint(socket);
  return {address_text(endpoint, socket), endpoint ? host_text(*endpoint) : ""};
}

std::optional<boost::asio::ip::address> local_ip(const StreamSocket& socket) {
  boost::system::error_code error;
  const auto local = socket.local_endpoint(error);
  const auto endpoint = error ? std::nullopt : to_tcp(local);
  return endpoint ? std::optional(endpoint->address()) : std::nullopt;
}

bool is_accepted_from(int listener, int socket) {
  const auto listens = local_endpoint(listener);
  const auto local = local_endpoint(socket);
  return listens && local && listens->port() == local->port() &&
         (listens->address() == local->address() || listens->address().is_unspecified());
}

void set_no_delay(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void keep_urgent_bytes(int socket) {
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

void set_closing(int socket, Closing closing) {
  const linger option{.l_onoff = closing == Closing::reset, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

Closing closing_of(int socket) {
  linger option{};
  socklen_t size = sizeof option;
  const bool known = ::getsockopt(socket, SOL_SOCKET, SO_LINGER, &option, &size) == 0;
  return known && option.l_onoff != 0 && option.l_linger == 0 ? Closing::reset : Closing::orderly;
}

void reset_connection(int socket) {
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  if (::connect(socket, &nowhere, sizeof nowhere) != 0) ::shutdown(socket, SHUT_RDWR);
}

std::optional<StreamSocket> adopt_stream(boost::asio::io_context& io, int descriptor) {
  int family = 0;
  int protocol = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
      ::getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) {
    return std::nullopt;
  }
  StreamSocket socket(io);
  boost::system::error_code error;
  socket.assign(StreamSocket::protocol_type(family, protocol), descriptor, error);
  if (!error) socket.non_blocking(true, error);
  if (!error) return socket;
  if (socket.is_open()) socket.release(error);
  return std::nullopt;
}

bool register_anew(StreamSocket& socket, const StreamSocket::protocol_type& protocol,
                   boost::asio::io_context& io) {
  boost::system::error_code error;
  const int descriptor = socket.release(error);
  if (error) return false;
  socket = StreamSocket(io);
  socket.assign(protocol, descriptor, error);
  if (error) ::close(descriptor);
  return !error;
}

bool is_broken(int socket) {
  pollfd state{socket, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP)) != 0;
}

bool is_quiet(int socket) {
  std::byte next;
  return ::recv(socket, &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace backedpipe
