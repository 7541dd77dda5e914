// Loads a configuration file.
#pragma once

#include <string>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// Reads the file and calls parse_settings(). A file that cannot be read is an error like any other.
Checked<Settings, ConfigErrors> load_settings(const std::string& path);

}  // namespace backedpipe
