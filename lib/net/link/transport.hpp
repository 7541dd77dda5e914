// Transport: one link's bytes, plain or encrypted, on a non-blocking socket. It never waits; its
// owner waits for readiness and calls again. It has one owner at a time. It can move to another
// owner, also on another thread, while no wait is pending on its socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "net/socket/stream.hpp"
#include "session/pump/ends.hpp"

namespace backedpipe {

class TransportFactory;

class Transport : public LinkEnd {
 public:
  explicit Transport(StreamSocket socket) : socket_(std::move(socket)) {}
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // One step of the transport's own handshake; repeated until ok or failed.
  virtual IoResult handshake() = 0;
  // Fills `pieces` from the front, at most kMaxPieces of them.
  IoResult read(std::span<const MutableBytes> pieces) final {
    const IoResult result = read_pieces(pieces);
    drained_ = result.drained;
    return result;
  }
  IoResult read(MutableBytes into) { return read(std::span<const MutableBytes>(&into, 1)); }
  bool drained() const final { return drained_; }
  std::optional<TcpAnswer> tcp_answer(TimePoint now) final;
  // Ends our direction in order; what was written before still arrives.
  virtual void shutdown() = 0;

  // The identity that the peer has proved; empty when links do not authenticate. Valid after the
  // handshake.
  virtual std::string_view identity() const { return {}; }
  // After a failed handshake: true if one side did not accept the other's identity or key, false if
  // the connection was lost.
  virtual bool rejected() const { return false; }
  // After a failed handshake: a text for the log; on the accepting side it names the claimed
  // identity. Empty: use the text of the error.
  virtual std::string failure() const { return {}; }

  // From now on the socket reports readiness on `io`, which another thread runs. False: the socket
  // could not be moved, and the link is lost.
  bool move_to(boost::asio::io_context& io);

  // True if `factory` made this transport. After a reload, the factory that replaces it may ask for
  // other proof.
  bool made_by(const std::shared_ptr<const TransportFactory>& factory) const {
    return factory && maker_.lock() == factory;
  }

  StreamSocket& socket() { return socket_; }
  const StreamSocket& socket() const { return socket_; }

 protected:
  int fd() { return socket_.native_handle(); }

 private:
  friend class TransportFactory;

  virtual IoResult read_pieces(std::span<const MutableBytes> pieces) = 0;

  StreamSocket socket_;
  std::weak_ptr<const TransportFactory> maker_;
  bool drained_ = false;
  std::uint32_t tcp_delivered_ = 0;  // see TcpProgress
};

// Makes the transports of one peer or one listener: plaintext, PSK or certificates.
class TransportFactory : public std::enable_shared_from_this<TransportFactory> {
 public:
  virtual ~TransportFactory() = default;
  std::unique_ptr<Transport> wrap(StreamSocket socket) const;

 private:
  virtual std::unique_ptr<Transport> make(StreamSocket socket) const = 0;
};

// For links inside an already encrypted network.
std::unique_ptr<TransportFactory> make_plain_factory();

}  // namespace backedpipe
