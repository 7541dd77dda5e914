// The files of a side that authenticates by certificates: its own certificate and private key, and
// the CAs it trusts. All PEM.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/settings.hpp"
#include "net/link/tls/certificate.hpp"

namespace backedpipe {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;

enum class CertificateUse { client, server };

// What is in the files. Moved, not copied.
struct Credentials {
  std::vector<CertificatePtr> cas;  // at least one
  // Ours, then the intermediate ones that lead to a CA of the other side.
  std::vector<CertificatePtr> chain;  // at least one
  PrivateKeyPtr key;
  // The name by which the server knows a client; empty for a server.
  std::string identity;
};

// Reads the files and checks that they belong together and that the certificate is meant for this
// use. Reports everything that is wrong with them, except that a certificate has expired: see
// expiry_of().
Checked<Credentials, ConfigErrors> load_credentials(const CertificateFiles& files,
                                                    CertificateUse use);

// About certificates that have expired, are not valid yet, or will expire within two weeks.
struct ExpiryReport {
  ConfigErrors errors;    // ours is not valid now
  ConfigErrors warnings;  // ours expires soon, or a CA has expired or will soon
};
ExpiryReport expiry_of(const Credentials& credentials, const CertificateFiles& files);

}  // namespace backedpipe
