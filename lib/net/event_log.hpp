// Events as lines of the log, and the log's level.
#pragma once

#include "config/settings.hpp"
#include "control/event.hpp"

namespace backedpipe {

void log_event(const Event& event);

// The event whose line this thread is just writing, or null: a log of JSON objects puts its fields
// beside the text.
const Event* event_being_logged();

// Takes effect at once.
void set_log_level(LogLevel level);
LogLevel log_level();

}  // namespace backedpipe
