// TlsContext: what all TLS links of one peer or listener have in common: an OpenSSL context, and
// who is accepted as the other side. Immutable once made, and shared by its factory and by the
// transports, so that links in the middle of a handshake keep theirs when a factory is replaced.
//
// Whatever proves who the other side is (pre-shared key, certificate): TLS 1.3 only, no tickets,
// no early data, no resumption; every link proves everything anew.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace backedpipe {

// What a context's callbacks find out about the other side of one connection.
struct TlsPeer {
  std::string identity;  // claimed; proved once the handshake is complete
  std::string failure;   // why the handshake, should it fail, has failed; for people

  static TlsPeer& of(SSL* ssl) { return *static_cast<TlsPeer*>(SSL_get_app_data(ssl)); }
};

class TlsContext {
 public:
  enum class Role { client, server };

  // `cipher_suites` as OpenSSL spells them. Throws std::runtime_error when OpenSSL cannot be set
  // up.
  TlsContext(Role role, const char* cipher_suites);
  virtual ~TlsContext() = default;
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  Role role() const { return role_; }
  SSL_CTX* native() const { return context_.get(); }

  // Before the handshake of a connection.
  virtual void prepare(SSL* /*ssl*/) const {}
  // After a complete handshake: has the other side proved who it is?
  virtual bool authenticated(const SSL* ssl) const = 0;
  // A sentence about an OpenSSL error (its reason number); empty: nothing better than its own text.
  virtual std::string explain(int /*reason*/) const { return {}; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  Role role_;
  std::unique_ptr<SSL_CTX, Free> context_;
};

}  // namespace backedpipe
