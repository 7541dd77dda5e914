// Where and how the daemon logs: standard error, one line an event.
#pragma once

#include "config/settings.hpp"

namespace backedpipe {

void set_up_log(const LogSettings& settings);

}  // namespace backedpipe
