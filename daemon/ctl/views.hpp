// Results of the control socket as text for people. Pure functions; `now` turns times into ages.
// They expect what the daemon documents and cope with anything else: a field that is missing or of
// another type is shown as "-" or 0.
#pragma once

#include <string>

#include "daemon/ctl/fields.hpp"

namespace backedpipe::ctl {

// Fits one screen: of long lists only the beginning is shown.
std::string render_status(const Json& status);
// A table, or the sentence that there is none.
std::string render_sessions(const Json& sessions, WallTime now);
std::string render_session(const Json& session, WallTime now);

}  // namespace backedpipe::ctl
