// Whether the files that a configuration names are there and fit together with it.
#pragma once

#include <string>

#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// Loads every key file as the daemon would, and looks for the identities in "allow" that have no
// key. `config_file` is for messages. Stricter than a start: there, a client whose key was taken
// out of the file is merely refused.
//
// Whether a key file may be read is a question of who asks: a check tells what a daemon would meet
// only when it is made as the daemon's user.
ConfigErrors check_key_files(const Settings& settings, const std::string& config_file);

}  // namespace backedpipe
