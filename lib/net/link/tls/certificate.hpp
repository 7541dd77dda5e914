// Reads from X.509 certificates what links need: whom one names, until when it is valid, and its
// name in messages. Names come from the subject alternative name (SAN) only; the common name (CN)
// is ignored (RFC 9525).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/x509.h>

namespace backedpipe {

struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using CertificatePtr = std::unique_ptr<X509, FreeCertificate>;

// The identity that the certificate gives its owner: the first DNS name, else the first URI, else
// the first mail address, exactly as written there. Nothing when it has none of these, or one that
// the settings could not name (see is_valid_certificate_identity).
std::optional<std::string> identity_of(const X509* certificate);

bool is_ip_address(const std::string& name);

// Whether the certificate is for this host name or IP address. A wildcard in it stands for exactly
// one whole label, the first (RFC 6125, section 6.4.3).
bool is_for(X509* certificate, const std::string& name);

// The names that it is for, "a, b, 192.0.2.1"; safe to print.
std::string names_of(const X509* certificate);
// Its name in messages: its first name, otherwise its subject. Safe to print.
std::string title_of(const X509* certificate);
std::string issuer_of(const X509* certificate);

// Whether its extendedKeyUsage allows this use. False for a certificate without that extension.
bool is_for_servers(X509* certificate);
bool is_for_clients(X509* certificate);

// As "2026-11-01T00:00:00Z".
std::string to_rfc3339(const ASN1_TIME* time);

// From now until the certificate's last second; negative once it has expired.
std::int64_t seconds_left(const X509* certificate);

}  // namespace backedpipe
