// ApplicationSocket: an application's connection, TCP or Unix. The only place that half-closes,
// closes or resets one. Until close() the socket is one that resets its connection when it is
// closed (see prepare_application_socket): however the process ends, the application never reads a
// clean end in the middle of its data. Owned by a SessionDriver, or by the code that turns a
// connection away; on its worker's thread.
#pragma once

#include <optional>

#include <boost/asio/io_context.hpp>

#include "net/socket/stream.hpp"
#include "session/pump/ends.hpp"

namespace backedpipe {

// Somebody who keeps another reference to an application's connection open. Then closing the
// socket does not end the connection.
class SecondReference {
 public:
  virtual ~SecondReference() = default;
  // The socket is about to be closed, and its connection has been ended.
  virtual void forget(int socket) = 0;
};

class ApplicationSocket final : public ApplicationEnd {
 public:
  // Without a connection.
  explicit ApplicationSocket(boost::asio::io_context& io) : socket_(io) {}
  // The socket must be non-blocking and prepared.
  explicit ApplicationSocket(StreamSocket socket) : socket_(std::move(socket)) {}

  ~ApplicationSocket() override { release(); }

  // The socket must be non-blocking and prepared.
  void connect(StreamSocket socket);
  // From now on there is another reference to its connection, which must outlive this object.
  void is_kept_by(SecondReference& second) { second_ = &second; }

  IoResult read(std::span<const MutableBytes> pieces) override;
  IoResult write(std::span<const ConstBytes> pieces) override;
  boost::system::error_code take_error() override;
  std::optional<Unanswered> unanswered() override;
  void finish() override;
  // What the socket still holds reaches the application, then the end of the stream.
  void close() override;
  // Sends RST on TCP. A Unix socket has no reset: its peer reads the end of the stream.
  void reset() override;

  // An error is pending, or both directions have ended; see is_broken().
  bool broken();
  // For waits on its readiness.
  StreamSocket& socket() { return socket_; }

 private:
  void release();

  StreamSocket socket_;
  SecondReference* second_ = nullptr;
};

}  // namespace backedpipe
