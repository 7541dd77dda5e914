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

// Bound to the executor of an io_context, for the same reason as Timer.
using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                      boost::asio::io_context::executor_type>;

IoResult read_some(int socket, std::span<const MutableBytes> pieces);
IoResult write_some(int socket, std::span<const ConstBytes> pieces);

// The peer's address as "host:port", "[v6]:port" or "unix"; empty once the socket is closed.
std::string remote_address(const StreamSocket& socket);
struct Remote {
  std::string address;  // as remote_address()
  // Identifies the source: the IPv4 address, or the /64 network of the IPv6 address.
  std::string host;
};
Remote remote_of(const StreamSocket& socket);
// The local IP address; nothing for a family that has none.
std::optional<boost::asio::ip::address> local_ip(const StreamSocket& socket);

// Whether a TCP connection has the local address of this listening socket.
bool is_accepted_from(int listener, int socket);

// Small writes go out at once: a relay gains nothing from the delay of RFC 896. No-op on Unix
// sockets.
void set_no_delay(int socket);
// Urgent bytes (RFC 6093) stay in their place in the stream. No effect on Unix sockets.
void keep_urgent_bytes(int socket);
// How a TCP connection ends when its last descriptor is closed, by close() or because the process
// is gone, whatever ended it.
enum class Closing {
  orderly,  // bytes on their way out still arrive, then the end of the stream: FIN
  reset,    // bytes on their way out are dropped, and the peer is told: RST
};
// Not as Asio's option: it takes the option back when it destroys the socket. No effect on Unix
// sockets.
void set_closing(int socket, Closing closing);
Closing closing_of(int socket);
// Resets a connection even if there are more references to its socket: TCP sends RST. A Unix socket
// has no reset, and is shut down: its peer reads the end of the stream.
void reset_connection(int socket);
// A socket for the descriptor, made non-blocking, which it owns from now on. Nothing if it is no
// stream socket; then the descriptor stays the caller's.
std::optional<StreamSocket> adopt_stream(boost::asio::io_context& io, int descriptor);
// From now on the socket reports readiness on `io`. Precondition: no wait is pending on it. False:
// it could not be moved, and is closed.
bool register_anew(StreamSocket& socket, const StreamSocket::protocol_type& protocol,
                   boost::asio::io_context& io);
// An error is pending, or both directions have ended. Leaves the error in place: asking for it
// would clear it, and the next read would report the end of the stream instead.
bool is_broken(int socket);
// Nothing can be read, not even the end of the stream or an error.
bool is_quiet(int socket);

// Calls `handler(error)` once the socket is ready for what `status` (want_read, want_write) asks.
template <typename Handler>
void wait_for(StreamSocket& socket, IoResult::Status status, Handler&& handler) {
  socket.async_wait(
      status == IoResult::Status::want_write ? StreamSocket::wait_write : StreamSocket::wait_read,
      std::forward<Handler>(handler));
}

}  // namespace backedpipe
