// From a configuration file to settings.
#pragma once

#include <string>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// parse_settings() on what the file holds. A file that cannot be read is an error like any other.
Checked<Settings, ConfigErrors> load_settings(const std::string& path);

}  // namespace backedpipe
