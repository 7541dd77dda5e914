// Checks the certificates that a configuration names. lib/config cannot do this, because it does
// not use OpenSSL.
#pragma once

#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

struct CertificateReport {
  ConfigErrors errors;    // links would fail
  ConfigErrors warnings;  // links will fail soon
};

// Loads the files of every peer and listener as the daemon would. Stricter than the daemon's start,
// which only logs that a certificate is not valid now.
CertificateReport check_certificates(const Settings& settings);

}  // namespace backedpipe
