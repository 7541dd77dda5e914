// Where and how the daemon logs: standard error, one line an event. When that is systemd's journal,
// lines carry their priority, what they are about in fields (see journal.hpp), and no time of their
// own.
#pragma once

#include "config/settings.hpp"

namespace backedpipe {

void set_up_log(const LogSettings& settings);

}  // namespace backedpipe
