#include "net/link/tls/psk_context.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <openssl/rand.h>

#include "net/link/tls/tls_transport.hpp"

namespace backedpipe {
namespace {

// The key is bound to SHA-256, so only suites with that hash can use it.
constexpr const char* kCipherSuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeSession>;

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

class PskContext : public TlsContext {
 public:
  explicit PskContext(Role role) : TlsContext(role, kCipherSuites) {
    SSL_CTX_set_app_data(native(), this);
  }

  // Without certificates, only the key can have authenticated the peer. OpenSSL reports its use as
  // a resumed session.
  bool authenticated(const SSL* ssl) const override { return SSL_session_reused(ssl) == 1; }

 protected:
  template <class Context>
  static const Context& of(SSL* ssl) {
    return *static_cast<const Context*>(
        static_cast<const PskContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl))));
  }
};

class PskClientContext final : public PskContext {
 public:
  explicit PskClientContext(KeyEntry key) : PskContext(Role::client), key_(std::move(key)) {
    // Rejects a server that presents a certificate instead of the key.
    SSL_CTX_set_verify(native(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_psk_use_session_callback(native(), &PskClientContext::use_session);
  }

 private:
  static int use_session(SSL* ssl, const EVP_MD* hash, const unsigned char** identity,
                         std::size_t* identity_size, SSL_SESSION** session) {
    const auto& self = of<PskClientContext>(ssl);
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
};

class PskServerContext final : public PskContext {
 public:
  explicit PskServerContext(KeyFile keys) : PskContext(Role::server), keys_(std::move(keys)) {
    if (RAND_bytes(decoy_.data(), static_cast<int>(decoy_.size())) != 1) {
      throw std::runtime_error("TLS: no randomness");
    }
    SSL_CTX_set_psk_find_session_callback(native(), &PskServerContext::find_session);
  }

 private:
  static int find_session(SSL* ssl, const unsigned char* identity, std::size_t identity_size,
                          SSL_SESSION** session) {
    const auto& self = of<PskServerContext>(ssl);
    // The claimed identity goes into the log: cut it to the length that an identity may have.
    std::string claimed(reinterpret_cast<const char*>(identity),
                        std::min<std::size_t>(identity_size, 64));
    const PskKey* key = identity_size <= 64 ? self.keys_.find(claimed) : nullptr;
    TlsPeer& peer = TlsPeer::of(ssl);
    peer.failure =
        (key == nullptr ? "unknown identity \"" : "wrong key for identity \"") + claimed + "\"";
    peer.identity = std::move(claimed);
    // An unknown identity gets a random key, so that the peer cannot tell it from a wrong key.
    *session = make_psk_session(ssl, key != nullptr ? std::span<const std::uint8_t>(key->bytes)
                                                    : std::span<const std::uint8_t>(self.decoy_))
                   .release();
    return *session != nullptr ? 1 : 0;
  }

  KeyFile keys_;
  std::array<std::uint8_t, 32> decoy_;
};

}  // namespace

std::unique_ptr<TransportFactory> make_psk_client_factory(KeyEntry key) {
  return make_tls_factory(std::make_shared<PskClientContext>(std::move(key)));
}

std::unique_ptr<TransportFactory> make_psk_server_factory(KeyFile keys) {
  return make_tls_factory(std::make_shared<PskServerContext>(std::move(keys)));
}

}  // namespace backedpipe
