// X.509 certificates, as far as links need to read them: whom one is for, until when, and how to
// call it in a message. Names come from the subject alternative name (SAN) only; the common name
// (CN) names nobody, as RFC 9525 has it.
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
// the first mail address, exactly as written there. Nothing when there is none, or when it is not
// one that the settings could name (see is_valid_certificate_identity).
std::optional<std::string> identity_of(const X509* certificate);

bool is_ip_address(const std::string& name);

// Whether it is for this host name or IP address. A wildcard in the certificate stands for exactly
// one whole label, the first (RFC 6125, section 6.4.3).
bool is_for(X509* certificate, const std::string& name);

// The names it is for, "a, b, 192.0.2.1"; made fit for a message.
std::string names_of(const X509* certificate);
// How a message calls it: its first name, or in want of one its subject. Made fit for a message.
std::string title_of(const X509* certificate);
std::string issuer_of(const X509* certificate);

// Is it meant for this use (extendedKeyUsage)? One that does not say what it is meant for is not.
bool is_for_servers(X509* certificate);
bool is_for_clients(X509* certificate);

// As "2026-11-01T00:00:00Z".
std::string to_rfc3339(const ASN1_TIME* time);

// From now until the certificate's last second; negative when that is over.
std::int64_t seconds_left(const X509* certificate);

}  // namespace backedpipe
