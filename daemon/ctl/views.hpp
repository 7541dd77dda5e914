// Show the control socket's results as text for people. Pure functions; `now` turns times into
// ages. They cope with unexpected input: a field that is missing or of another type is shown as "-"
// or 0.
#pragma once

#include <string>

#include "daemon/ctl/fields.hpp"

namespace backedpipe::ctl {

// Fits on one screen: long lists are cut.
std::string render_status(const Json& status);
// A table, or a line that says that there are no sessions.
std::string render_sessions(const Json& sessions, WallTime now);
std::string render_session(const Json& session, WallTime now);

}  // namespace backedpipe::ctl
