#include "net/tls_transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <boost/asio/ssl/error.hpp>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

namespace backedpipe {
namespace {

// One TLS record's payload: a write of less pays for a record of its own.
constexpr std::size_t kRecordBytes = std::size_t{16} << 10;

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, FreeContext>;
using SslPtr = std::unique_ptr<SSL, FreeSsl>;
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeSession>;

boost::system::error_code last_tls_error() {
  const auto code = ERR_peek_last_error();
  return {static_cast<int>(code), boost::asio::error::get_ssl_category()};
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(StreamSocket socket, SSL_CTX* context, bool server)
      : Transport(std::move(socket)), ssl_(SSL_new(context)) {
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1) {
      throw std::runtime_error("TLS: out of memory");
    }
    SSL_set_app_data(ssl_.get(), this);
    server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }

  IoResult handshake() override {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    if (done != 1) return blocked_or_failed(done);
    // Without certificates nothing but the key can have authenticated the other side. Make sure of
    // it.
    if (SSL_session_reused(ssl_.get()) != 1) {
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
      const ConstBytes chunk = next_chunk(pieces, skip);
      ERR_clear_error();
      std::size_t count = 0;
      const int done = SSL_write_ex(ssl_.get(), chunk.data(), chunk.size(), &count);
      if (done != 1) {
        const IoResult stopped = blocked_or_failed(done);
        // What went out before counts, also if the link has broken since: the other side may have
        // it. The error comes again with the next call.
        if (result.bytes == 0) return stopped;
        result.drained = stopped.status != IoResult::Status::failed;
        return result;
      }
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
    return authenticated_ ? std::string_view(claimed_identity_) : std::string_view();
  }
  bool rejected() const override { return rejected_; }
  std::string failure() const override {
    if (claimed_identity_.empty()) return {};
    return (unknown_identity_ ? "unknown identity \"" : "wrong key for identity \"") +
           claimed_identity_ + "\"";
  }

  // The peer says who it is; whether it has the key is not known yet.
  void claim(std::string identity, bool unknown) {
    claimed_identity_ = std::move(identity);
    unknown_identity_ = unknown;
  }

  static TlsTransport& of(SSL* ssl) { return *static_cast<TlsTransport*>(SSL_get_app_data(ssl)); }

 private:
  // What to encrypt next: full records straight from where the bytes are, small pieces gathered so
  // that a frame's header shares a record with its payload.
  static ConstBytes next_chunk(std::span<const ConstBytes> pieces, std::size_t skip) {
    const ConstBytes first = pieces.front().subspan(skip);
    if (pieces.size() == 1) return first;
    if (first.size() >= kRecordBytes)
      return first.first(first.size() / kRecordBytes * kRecordBytes);
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
        return failed(last_tls_error());
      default:
        if (saved_errno == 0) return {IoResult::Status::closed, 0, true, {}};
        return failed({saved_errno, boost::system::system_category()});
    }
  }

  SslPtr ssl_;
  std::string claimed_identity_;
  bool unknown_identity_ = false;
  bool authenticated_ = false;
  bool rejected_ = false;
};

ContextPtr make_context(const SSL_METHOD* method) {
  ContextPtr context(SSL_CTX_new(method));
  // The key is a SHA-256 one: only suites with that hash can use it.
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(),
                               "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") != 1) {
    throw std::runtime_error("TLS: this OpenSSL lacks TLS 1.3 with AES-128-GCM");
  }
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context.get(), 1);
  return context;
}

// The key in the form in which OpenSSL takes external PSKs.
SessionPtr make_psk_session(SSL* ssl, std::span<const std::uint8_t> key) {
  static constexpr unsigned char kAes128GcmSha256[] = {0x13, 0x01};
  SessionPtr session(SSL_SESSION_new());
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kAes128GcmSha256);
  if (!session || cipher == nullptr ||
      SSL_SESSION_set1_master_key(session.get(), key.data(), key.size()) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1) {
    return nullptr;
  }
  return session;
}

class PskClientFactory final : public TransportFactory {
 public:
  explicit PskClientFactory(KeyEntry key)
      : key_(std::move(key)), context_(make_context(TLS_client_method())) {
    // A server that comes with a certificate instead of the key is not ours.
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_app_data(context_.get(), this);
    SSL_CTX_set_psk_use_session_callback(context_.get(), &PskClientFactory::use_session);
  }

  std::unique_ptr<Transport> wrap(StreamSocket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), context_.get(), false);
  }

 private:
  static int use_session(SSL* ssl, const EVP_MD* hash, const unsigned char** identity,
                         std::size_t* identity_size, SSL_SESSION** session) {
    const auto& self =
        *static_cast<const PskClientFactory*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    *session = nullptr;
    if (hash != nullptr && EVP_MD_get_type(hash) != NID_sha256) return 1;
    SessionPtr made = make_psk_session(ssl, self.key_.key.bytes);
    if (!made) return 0;
    *identity = reinterpret_cast<const unsigned char*>(self.key_.identity.data());
    *identity_size = self.key_.identity.size();
    *session = made.release();
    return 1;
  }

  KeyEntry key_;
  ContextPtr context_;
};

class PskServerFactory final : public TransportFactory {
 public:
  explicit PskServerFactory(KeyFile keys)
      : keys_(std::move(keys)), context_(make_context(TLS_server_method())) {
    if (RAND_bytes(decoy_.data(), static_cast<int>(decoy_.size())) != 1) {
      throw std::runtime_error("TLS: no randomness");
    }
    SSL_CTX_set_app_data(context_.get(), this);
    SSL_CTX_set_psk_find_session_callback(context_.get(), &PskServerFactory::find_session);
  }

  std::unique_ptr<Transport> wrap(StreamSocket socket) const override {
    return std::make_unique<TlsTransport>(std::move(socket), context_.get(), true);
  }

 private:
  static int find_session(SSL* ssl, const unsigned char* identity, std::size_t identity_size,
                          SSL_SESSION** session) {
    const auto& self =
        *static_cast<const PskServerFactory*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    // Whatever the peer calls itself goes into the log: no more of it than an identity may have.
    std::string claimed(reinterpret_cast<const char*>(identity),
                        std::min<std::size_t>(identity_size, 64));
    const PskKey* key = identity_size <= 64 ? self.keys_.find(claimed) : nullptr;
    TlsTransport::of(ssl).claim(std::move(claimed), key == nullptr);
    // An unknown identity meets a key that nobody has, so that it cannot be told from a wrong key.
    *session = make_psk_session(ssl, key != nullptr ? std::span<const std::uint8_t>(key->bytes)
                                                    : std::span<const std::uint8_t>(self.decoy_))
                   .release();
    return *session != nullptr ? 1 : 0;
  }

  KeyFile keys_;
  std::array<std::uint8_t, 32> decoy_;
  ContextPtr context_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_psk_client_factory(KeyEntry key) {
  return std::make_unique<PskClientFactory>(std::move(key));
}

std::unique_ptr<TransportFactory> make_psk_server_factory(KeyFile keys) {
  return std::make_unique<PskServerFactory>(std::move(keys));
}

}  // namespace backedpipe
