#include "net/link/tls/tls_transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/ssl/error.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/link/tls/tls_wire.hpp"

namespace backedpipe {
namespace {

// The largest payload of a TLS record. A smaller write costs a record of its own.
constexpr std::size_t kRecordBytes = std::size_t{16} << 10;

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, FreeSsl>;

boost::system::error_code last_tls_error() {
  const auto code = ERR_peek_last_error();
  return {static_cast<int>(code), boost::asio::error::get_ssl_category()};
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(StreamSocket socket, std::shared_ptr<const TlsContext> context)
      : Transport(std::move(socket)),
        context_(std::move(context)),
        ssl_(SSL_new(context_->native())) {
    if (!ssl_) throw std::runtime_error("TLS: out of memory");
    wire_.attach(ssl_.get());
    SSL_set_app_data(ssl_.get(), &peer_);
    context_->role() == TlsContext::Role::server ? SSL_set_accept_state(ssl_.get())
                                                 : SSL_set_connect_state(ssl_.get());
    context_->prepare(ssl_.get());
  }

  IoResult handshake() override {
    ERR_clear_error();
    const TlsWire::Receiving receiving(wire_, fd(), TlsWire::Reads::any, 0);
    const int done = SSL_do_handshake(ssl_.get());
    if (done != 1) return blocked_or_failed(done);
    if (!context_->authenticated(ssl_.get())) {
      rejected_ = true;
      return {IoResult::Status::failed, 0, true,
              make_error_code(boost::system::errc::permission_denied)};
    }
    authenticated_ = true;
    return {};
  }

  IoResult write(std::span<const ConstBytes> pieces) override {
    IoResult result;
    const auto send = [&] {
      const IoResult sent = wire_.send(fd());
      result.bytes += sent.bytes;
      return sent;
    };
    // Bytes that went out before the failure count, because the peer may have them. The next call
    // reports the error again.
    const auto stop = [&](const IoResult& stopped) {
      if (result.bytes == 0) return stopped;
      result.drained = stopped.status != IoResult::Status::failed;
      return result;
    };

    if (wire_.stuck()) {
      const IoResult sent = send();
      if (wire_.stuck()) return stop(sent);
    }
    // The bytes that were stuck are the first of `pieces`.
    std::size_t skip = result.bytes;
    skip_taken(pieces, skip);
    while (!pieces.empty()) {
      wire_.gather(fd());
      while (!pieces.empty() && !wire_.full()) {
        const ConstBytes chunk = next_record(pieces, skip);
        ERR_clear_error();
        std::size_t count = 0;
        const int done = SSL_write_ex(ssl_.get(), chunk.data(), chunk.size(), &count);
        if (done != 1) return stop(blocked_or_failed(done));
        wire_.end_record(count);
        skip += count;
        skip_taken(pieces, skip);
      }
      const IoResult sent = send();
      if (wire_.stuck()) return stop(sent);
    }
    return result;
  }

  void shutdown() override {
    ERR_clear_error();
    if (wire_.stuck()) wire_.send(fd());
    const TlsWire::Receiving receiving(wire_, fd(), TlsWire::Reads::one, 0);
    if (!wire_.stuck()) SSL_shutdown(ssl_.get());
    boost::system::error_code ignored;
    socket().shutdown(boost::asio::socket_base::shutdown_send, ignored);
  }

  std::string_view identity() const override {
    return authenticated_ ? std::string_view(peer_.identity) : std::string_view();
  }
  bool rejected() const override { return rejected_; }
  std::string failure() const override { return peer_.failure; }

 private:
  // Decrypts all records that one read from the socket brings.
  IoResult read_pieces(std::span<const MutableBytes> pieces) override {
    IoResult result;
    if (read_end_) return *read_end_;
    const TlsWire::Receiving receiving(wire_, fd(), TlsWire::Reads::one, total_bytes(pieces));
    std::size_t filled = 0;  // of the first piece
    while (!pieces.empty()) {
      ERR_clear_error();
      std::size_t count = 0;
      const MutableBytes room = pieces.front().subspan(filled);
      const int done = SSL_read_ex(ssl_.get(), room.data(), room.size(), &count);
      result.bytes += count;
      filled += count;
      skip_taken(pieces, filled);
      if (done == 1) continue;
      const IoResult stopped = blocked_or_failed(done);
      if (stopped.status == IoResult::Status::want_read) {
        if (result.bytes == 0 && !wire_.drained()) {
          wire_.allow_another_read();
          continue;
        }
        if (result.bytes == 0) return stopped;
        result.drained = wire_.drained();
        return result;
      }
      if (stopped.status != IoResult::Status::want_write) read_end_ = stopped;
      if (result.bytes == 0) return stopped;
      return result;
    }
    return result;
  }

  template <typename Piece>
  static void skip_taken(std::span<const Piece>& pieces, std::size_t& skip) {
    while (!pieces.empty() && skip >= pieces.front().size()) {
      skip -= pieces.front().size();
      pieces = pieces.subspan(1);
    }
  }

  // What to encrypt next: a full record without a copy, or small pieces gathered into one record,
  // so that a frame's header shares it with its payload.
  static ConstBytes next_record(std::span<const ConstBytes> pieces, std::size_t skip) {
    const ConstBytes first = pieces.front().subspan(skip);
    if (first.size() >= kRecordBytes) return first.first(kRecordBytes);
    if (pieces.size() == 1) return first;
    static thread_local std::array<std::byte, kRecordBytes> gathered;
    std::size_t count = 0;
    for (const ConstBytes piece : pieces) {
      const ConstBytes rest = piece.subspan(skip);
      skip = 0;
      const std::size_t part = std::min(rest.size(), gathered.size() - count);
      std::memcpy(gathered.data() + count, rest.data(), part);
      count += part;
      if (count == gathered.size()) break;
    }
    return ConstBytes(gathered).first(count);
  }

  IoResult blocked_or_failed(int returned) {
    const int saved_errno = errno;
    const auto failed = [](boost::system::error_code error) {
      return IoResult{IoResult::Status::failed, 0, true, error};
    };
    switch (SSL_get_error(ssl_.get(), returned)) {
      case SSL_ERROR_WANT_READ:
        return {IoResult::Status::want_read, 0, true, {}};
      case SSL_ERROR_WANT_WRITE:
        return {IoResult::Status::want_write, 0, true, {}};
      case SSL_ERROR_ZERO_RETURN:
        return {IoResult::Status::closed, 0, true, {}};
      case SSL_ERROR_SSL:
        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
          return {IoResult::Status::closed, 0, true, {}};
        }
        rejected_ = true;
        if (peer_.failure.empty()) {
          peer_.failure = context_->explain(ERR_GET_REASON(ERR_peek_last_error()));
        }
        return failed(last_tls_error());
      default:
        if (saved_errno == 0) return {IoResult::Status::closed, 0, true, {}};
        return failed({saved_errno, boost::system::system_category()});
    }
  }

  std::shared_ptr<const TlsContext> context_;
  TlsPeer peer_;
  TlsWire wire_;
  SslPtr ssl_;
  std::optional<IoResult> read_end_;  // for the next read, after the bytes before it
  bool authenticated_ = false;
  bool rejected_ = false;
};

class TlsFactory final : public TransportFactory {
 public:
  explicit TlsFactory(std::shared_ptr<const TlsContext> context) : context_(std::move(context)) {}

 private:
  std::unique_ptr<Transport> make(StreamSocket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), context_);
  }

  std::shared_ptr<const TlsContext> context_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_tls_factory(std::shared_ptr<const TlsContext> context) {
  return std::make_unique<TlsFactory>(std::move(context));
}

}  // namespace backedpipe
