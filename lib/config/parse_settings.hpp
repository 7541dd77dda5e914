// From the text of a configuration file to settings.
#pragma once

#include <string>
#include <string_view>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/settings.hpp"

namespace backedpipe {

// JSON text, with // and /* */ comments, to settings that are complete and consistent. Or all that
// is wrong with it, in the order of the text: every error names the place, the setting, what was
// found and what is allowed. Text that is not JSON gives one error.
//
// Pure: reads no file and checks none. `file_name` is for messages, and relative paths in the text
// are relative to its folder. Never throws on any text.
Checked<Settings, ConfigErrors> parse_settings(std::string_view text, const std::string& file_name);

}  // namespace backedpipe
