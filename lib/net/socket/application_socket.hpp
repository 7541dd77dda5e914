// ApplicationSocket: an application's connection, TCP or Unix. The only place that half-closes,
// closes or resets one. Owned by a SessionDriver, or by the code that turns a connection away; on
// its worker's thread.
#pragma once

#include <boost/asio/io_context.hpp>

#include "net/socket/stream.hpp"
#include "session/pump/ends.hpp"

namespace backedpipe {

class ApplicationSocket final : public ApplicationEnd {
 public:
  // Without a connection.
  explicit ApplicationSocket(boost::asio::io_context& io) : socket_(io) {}
  // The socket must be non-blocking.
  explicit ApplicationSocket(StreamSocket socket) : socket_(std::move(socket)) {}

  // Small writes go out at once from now on.
  void connect(StreamSocket socket);

  IoResult read(std::span<const MutableBytes> pieces) override;
  IoResult write(std::span<const ConstBytes> pieces) override;
  boost::system::error_code take_error() override;
  void finish() override;
  void close() override;
  // Sends RST on TCP. A Unix socket has no reset: its peer reads the end of the stream.
  void reset() override;

  // An error is pending, or both directions have ended; see is_broken().
  bool broken();
  // For waits on its readiness.
  StreamSocket& socket() { return socket_; }

 private:
  StreamSocket socket_;
};

}  // namespace backedpipe
