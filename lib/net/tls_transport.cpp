#include "net/tls_transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <boost/asio/ssl/error.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace backedpipe {
namespace {

// One TLS record's payload: a write of less pays for a record of its own.
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
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1) {
      throw std::runtime_error("TLS: out of memory");
    }
    SSL_set_app_data(ssl_.get(), &peer_);
    context_->role() == TlsContext::Role::server ? SSL_set_accept_state(ssl_.get())
                                                 : SSL_set_connect_state(ssl_.get());
    context_->prepare(ssl_.get());
  }

  IoResult handshake() override {
    ERR_clear_error();
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

  IoResult read(MutableBytes into) override {
    ERR_clear_error();
    std::size_t count = 0;
    const int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
    if (done != 1) return blocked_or_failed(done);
    return {IoResult::Status::ok, count, false, {}};
  }

  IoResult write(std::span<const ConstBytes> pieces) override {
    IoResult result;
    std::size_t skip = 0;
    while (!pieces.empty()) {
      ConstBytes chunk = next_record(pieces, skip);
      // Not more than was stuck: what leaves in a call that gets stuck again right behind it is not
      // counted by that call.
      if (stuck_bytes_ > 0) chunk = chunk.first(stuck_bytes_);
      ERR_clear_error();
      std::size_t count = 0;
      const int done = SSL_write_ex(ssl_.get(), chunk.data(), chunk.size(), &count);
      if (done != 1) {
        const IoResult stopped = blocked_or_failed(done);
        stuck_bytes_ = chunk.size();
        // What went out before counts, also if the link has broken since: the other side may have
        // it. The error comes again with the next call.
        if (result.bytes == 0) return stopped;
        result.drained = stopped.status != IoResult::Status::failed;
        return result;
      }
      stuck_bytes_ = 0;
      result.bytes += count;
      for (skip += count; !pieces.empty() && skip >= pieces.front().size();) {
        skip -= pieces.front().size();
        pieces = pieces.subspan(1);
      }
    }
    return result;
  }

  void shutdown() override {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    boost::system::error_code ignored;
    socket().shutdown(boost::asio::socket_base::shutdown_send, ignored);
  }

  std::string_view identity() const override {
    return authenticated_ ? std::string_view(peer_.identity) : std::string_view();
  }
  bool rejected() const override { return rejected_; }
  std::string failure() const override { return peer_.failure; }

 private:
  // What to encrypt next: a full record straight from where the bytes are, small pieces gathered so
  // that a frame's header shares a record with its payload.
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
  SslPtr ssl_;
  std::size_t stuck_bytes_ = 0;  // of a write that could not be completed: to be offered again
  bool authenticated_ = false;
  bool rejected_ = false;
};

class TlsFactory final : public TransportFactory {
 public:
  explicit TlsFactory(std::shared_ptr<const TlsContext> context) : context_(std::move(context)) {}

  std::unique_ptr<Transport> wrap(StreamSocket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), context_);
  }

 private:
  std::shared_ptr<const TlsContext> context_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_tls_factory(std::shared_ptr<const TlsContext> context) {
  return std::make_unique<TlsFactory>(std::move(context));
}

}  // namespace backedpipe
