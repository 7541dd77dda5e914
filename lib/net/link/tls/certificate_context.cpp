#include "net/link/tls/certificate_context.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

#include "config/config_error.hpp"
#include "net/link/tls/tls_transport.hpp"

namespace backedpipe {
namespace {

constexpr const char* kCipherSuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

struct Alert {
  int reason;
  const char* meaning;  // what the peer says about us
};

constexpr std::array kAlerts{
    Alert{SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "asks for a certificate and got none"},
    Alert{SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "says that our certificate has expired"},
    Alert{SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "says that our certificate is revoked"},
    Alert{SSL_R_TLSV1_ALERT_UNKNOWN_CA, "does not know the CA of our certificate"},
    Alert{SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
          "says that our certificate is not meant for this side"},
    Alert{SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
          "does not accept our certificate: it is not valid yet, or names nobody that is expected"},
    Alert{SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "does not accept our certificate"},
    Alert{SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "says that our certificate's signature is wrong"},
    Alert{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
          "does not do TLS in the way we do; does its \"security\" differ?"},
};

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names)
    list += (list.empty() ? "" : " or ") + printable(name);
  return list;
}

class CertificateContext : public TlsContext {
 public:
  CertificateContext(Role role, const Credentials& credentials, std::string ca_file)
      : TlsContext(role, kCipherSuites), ca_file_(std::move(ca_file)) {
    SSL_CTX* context = native();
    X509_STORE* trusted = SSL_CTX_get_cert_store(context);
    bool ok = SSL_CTX_use_certificate(context, credentials.chain.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, credentials.key.get()) == 1;
    for (std::size_t i = 1; i < credentials.chain.size(); ++i)
      ok = ok && SSL_CTX_add1_chain_cert(context, credentials.chain[i].get()) == 1;
    for (const CertificatePtr& ca : credentials.cas)
      ok = ok && X509_STORE_add_cert(trusted, ca.get()) == 1;
    if (!ok) {
      const char* why = ERR_reason_error_string(ERR_peek_last_error());
      throw std::runtime_error(std::string("TLS: the certificate cannot be used: ") +
                               (why != nullptr ? why : "out of memory"));
    }
    // Send exactly the chain in the certificate file.
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
    // Every CA in the CA file is trusted, an intermediate one too, so that links can have a CA of
    // their own inside a larger hierarchy.
    X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_cert_verify_callback(context, &CertificateContext::verify, this);
  }

  bool authenticated(const SSL* ssl) const override {
    return SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
  }

  std::string explain(int reason) const override {
    const std::string other = role() == Role::client ? "the server " : "the client ";
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return other + "sent no certificate";
    const auto* alert = std::find_if(kAlerts.begin(), kAlerts.end(),
                                     [reason](const Alert& a) { return a.reason == reason; });
    return alert == kAlerts.end() ? std::string() : other + alert->meaning;
  }

 protected:
  // Whether this role accepts a certificate whose chain is valid: an X509_V code, with the reason
  // in `peer`.
  virtual int judge(X509* certificate, TlsPeer& peer) const = 0;

 private:
  static int verify(X509_STORE_CTX* chain, void* context) {
    const auto& self = *static_cast<const CertificateContext*>(context);
    TlsPeer& peer = TlsPeer::of(
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx())));
    const bool in_order = X509_verify_cert(chain) == 1;
    int verdict = X509_STORE_CTX_get_error(chain);
    if (!in_order) {
      if (verdict == X509_V_OK) verdict = X509_V_ERR_UNSPECIFIED;
      peer.failure = self.why_not(chain, verdict);
    } else {
      verdict = self.judge(X509_STORE_CTX_get0_cert(chain), peer);
    }
    // OpenSSL derives the alert from this.
    X509_STORE_CTX_set_error(chain, verdict);
    return verdict == X509_V_OK ? 1 : 0;
  }

  std::string why_not(X509_STORE_CTX* chain, int verdict) const {
    X509* certificate = X509_STORE_CTX_get_current_cert(chain);
    if (certificate == nullptr) certificate = X509_STORE_CTX_get0_cert(chain);
    const std::string title = "the certificate of " + title_of(certificate);
    switch (verdict) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
        return title + " expired on " + to_rfc3339(X509_get0_notAfter(certificate));
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return title + " is not valid before " + to_rfc3339(X509_get0_notBefore(certificate)) +
               "; are the clocks right?";
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        // The error is about a certificate further up the chain. People know the one at its
        // beginning.
        return "the certificate of " + title_of(X509_STORE_CTX_get0_cert(chain)) +
               " comes from a CA that is not in " + in_quotes(ca_file_, ca_file_.size()) + ": " +
               issuer_of(certificate);
      case X509_V_ERR_INVALID_PURPOSE:
        return wrong_use(certificate);
      default:
        return title + " is not accepted: " + X509_verify_cert_error_string(verdict);
    }
  }

 protected:
  std::string wrong_use(const X509* certificate) const {
    return "the certificate of " + title_of(certificate) + " is not meant for " +
           (role() == Role::client ? "servers (extendedKeyUsage serverAuth)"
                                   : "clients (extendedKeyUsage clientAuth)");
  }

 private:
  std::string ca_file_;
};

class CertificateClientContext final : public CertificateContext {
 public:
  CertificateClientContext(const Credentials& credentials, const std::string& ca_file,
                           std::vector<std::string> names)
      : CertificateContext(Role::client, credentials, ca_file), names_(std::move(names)) {}

  // A proxy in front of several servers may route by this name (SNI). Of several names, none is the
  // right one to send.
  void prepare(SSL* ssl) const override {
    if (names_.size() != 1 || is_ip_address(names_.front())) return;
    SSL_set_tlsext_host_name(ssl, names_.front().c_str());
  }

 protected:
  int judge(X509* certificate, TlsPeer& peer) const override {
    if (!is_for_servers(certificate)) {
      peer.failure = wrong_use(certificate);
      return X509_V_ERR_INVALID_PURPOSE;
    }
    const bool expected =
        std::any_of(names_.begin(), names_.end(),
                    [certificate](const std::string& name) { return is_for(certificate, name); });
    if (expected) return X509_V_OK;
    const std::string names = names_of(certificate);
    peer.failure = "the server's certificate is for " + (names.empty() ? "nobody" : names) +
                   "; expected " + joined(names_);
    return X509_V_ERR_HOSTNAME_MISMATCH;
  }

 private:
  std::vector<std::string> names_;
};

class CertificateServerContext final : public CertificateContext {
 public:
  CertificateServerContext(const Credentials& credentials, const std::string& ca_file)
      : CertificateContext(Role::server, credentials, ca_file) {}

 protected:
  int judge(X509* certificate, TlsPeer& peer) const override {
    if (!is_for_clients(certificate)) {
      peer.failure = wrong_use(certificate);
      return X509_V_ERR_INVALID_PURPOSE;
    }
    auto identity = identity_of(certificate);
    if (!identity) {
      peer.failure = "the certificate of " + title_of(certificate) +
                     " names no client: it needs a DNS name, URI or mail address (without "
                     "wildcards) as its subject alternative name";
      return X509_V_ERR_CERT_REJECTED;
    }
    peer.identity = std::move(*identity);
    return X509_V_OK;
  }
};

}  // namespace

std::unique_ptr<TransportFactory> make_certificate_client_factory(const Credentials& credentials,
                                                                  const std::string& ca_file,
                                                                  std::vector<std::string> names) {
  return make_tls_factory(
      std::make_shared<CertificateClientContext>(credentials, ca_file, std::move(names)));
}

std::unique_ptr<TransportFactory> make_certificate_server_factory(const Credentials& credentials,
                                                                  const std::string& ca_file) {
  return make_tls_factory(std::make_shared<CertificateServerContext>(credentials, ca_file));
}

}  // namespace backedpipe
