// Parses the text of a configuration file.
#pragma once

#include <string>
#include <string_view>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// Turns JSON text, with // and /* */ comments, into complete and consistent settings. Otherwise
// returns all errors in the order of the text: each names the place, the setting, what was found
// and what is allowed. Text that is not JSON gives one error.
//
// Pure: reads and checks no other file. `file_name` is for messages, and relative paths in the text
// are relative to its folder. Never throws, whatever the text.
Checked<Settings, ConfigErrors> parse_settings(std::string_view text, const std::string& file_name);

}  // namespace backedpipe
