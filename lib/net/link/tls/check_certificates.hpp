// Whether the certificates that a configuration names are fit for use; the part of a check that
// lib/config cannot do, which knows nothing of OpenSSL.
#pragma once

#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

struct CertificateReport {
  ConfigErrors errors;    // links would fail
  ConfigErrors warnings;  // links will fail before long
};

// Loads the files of every peer and listener as the daemon would. Stricter than a start: there, a
// certificate that is not valid now is a line in the log.
CertificateReport check_certificates(const Settings& settings);

}  // namespace backedpipe
