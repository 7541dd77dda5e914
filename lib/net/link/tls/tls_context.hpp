// TlsContext: what all TLS links of one peer or listener share: an OpenSSL context, and the rule
// which peers are accepted. Immutable. The factory and its transports own it together, so that a
// link in the middle of a handshake keeps its context when the factory is replaced.
//
// For pre-shared keys and certificates alike: TLS 1.3 only, no tickets, no early data, no
// resumption. Every link authenticates anew.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace backedpipe {

// What a context's callbacks find out about the other side of one connection.
struct TlsPeer {
  std::string identity;  // claimed; proved once the handshake is complete
  std::string failure;   // why the handshake failed, if it did; for people

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

  // Called before the handshake of a connection.
  virtual void prepare(SSL* /*ssl*/) const {}
  // Whether the peer has proved its identity. Called after a complete handshake.
  virtual bool authenticated(const SSL* ssl) const = 0;
  // A sentence for an OpenSSL error (its reason number). Empty: use OpenSSL's own text.
  virtual std::string explain(int /*reason*/) const { return {}; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  Role role_;
  std::unique_ptr<SSL_CTX, Free> context_;
};

}  // namespace backedpipe
