#include "net/link/tls/check_certificates.hpp"

#include <algorithm>

#include "net/link/tls/certificate_files.hpp"

namespace backedpipe {
namespace {

// Reports a file once, even if several peers or listeners use it.
void add(ConfigErrors& list, const ConfigErrors& more) {
  for (const ConfigError& error : more) {
    const bool known = std::any_of(list.begin(), list.end(), [&error](const ConfigError& other) {
      return to_string(other) == to_string(error);
    });
    if (!known) list.push_back(error);
  }
}

void check(const CertificateFiles& files, CertificateUse use, CertificateReport& report) {
  const auto credentials = load_credentials(files, use);
  if (!credentials) return add(report.errors, credentials.error());
  const ExpiryReport expiry = expiry_of(*credentials, files);
  add(report.errors, expiry.errors);
  add(report.warnings, expiry.warnings);
}

}  // namespace

CertificateReport check_certificates(const Settings& settings) {
  CertificateReport report;
  for (const PeerSettings& peer : settings.peers) {
    if (peer.security == Security::tls) check(peer.certificates, CertificateUse::client, report);
  }
  for (const AcceptSettings& accept : settings.accept) {
    if (accept.security == Security::tls) {
      check(accept.certificates, CertificateUse::server, report);
    }
  }
  return report;
}

}  // namespace backedpipe
