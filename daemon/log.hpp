// Sets up the log: standard error, one line per event. When standard error is systemd's journal,
// lines have a priority, fields that name their subject (see journal.hpp), and no time of their
// own.
#pragma once

#include "config/settings.hpp"

namespace backedpipe {

void set_up_log(const LogSettings& settings);

}  // namespace backedpipe
