// Byte streams as this layer uses them: a non-blocking socket of any family, read and written with
// one system call for many pieces. Waiting for readiness is Asio's part.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>

#include "session/pump/io_result.hpp"

namespace backedpipe {

// Names its executor, for the same reason as Timer.
using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                      boost::asio::io_context::executor_type>;

IoResult read_some(int socket, std::span<const MutableBytes> pieces);
IoResult write_some(int socket, std::span<const ConstBytes> pieces);

// The peer's address as "host:port", "[v6]:port" or "unix"; empty when there is none any more.
std::string remote_address(const StreamSocket& socket);
struct Remote {
  std::string address;  // as remote_address()
  // What tells sources apart: the IPv4 address, or the 64 bits of an IPv6 address that name its
  // network.
  std::string host;
};
Remote remote_of(const StreamSocket& socket);
// The IP address of this end; nothing for a family without.
std::optional<boost::asio::ip::address> local_ip(const StreamSocket& socket);

// Small writes go out at once (RFC 896's delay is of no use to a relay). No-op on Unix sockets.
void set_no_delay(StreamSocket& socket);
// Tells readiness on `io` from now on. False: that was not possible, and the socket is closed.
// Nobody waits on it.
bool register_anew(StreamSocket& socket, const StreamSocket::protocol_type& protocol,
                   boost::asio::io_context& io);
// An error is pending, or both directions have ended. Changes nothing: asking for the error itself
// would take it from whoever reads next, to whom it would look like the end of the stream.
bool is_broken(int socket);
// There is nothing to read, not even the end of the stream or an error.
bool is_quiet(int socket);

// Calls `handler(error)` once the socket is ready for what `status` (want_read, want_write) asks.
template <typename Handler>
void wait_for(StreamSocket& socket, IoResult::Status status, Handler&& handler) {
  socket.async_wait(
      status == IoResult::Status::want_write ? StreamSocket::wait_write : StreamSocket::wait_read,
      std::forward<Handler>(handler));
}

}  // namespace backedpipe
