// Checks that the files that a configuration names exist and agree with it.
#pragma once

#include <string>

#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// Loads every key file as the daemon would, and reports identities in "allow" that have no key.
// `config_file` is for messages. This check is stricter than the daemon's start, where an identity
// without a key is no error: its client is refused when it connects.
//
// Whether a key file can be read depends on the user of this process: run the check as the daemon's
// user.
ConfigErrors check_key_files(const Settings& settings, const std::string& config_file);

}  // namespace backedpipe
