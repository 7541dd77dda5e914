// Events as lines of the log, what lines are about, and the log's level.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/settings.hpp"
#include "control/event.hpp"

namespace backedpipe {

void log_event(const Event& event);

// The event whose line this thread is just writing, or null: a log of JSON objects puts its fields
// beside the text.
const Event* event_being_logged();

// What lines are about, for a log that keeps fields beside the text. Empty, and 0: nothing such.
struct LogSubject {
  std::string_view event{};  // its kind, if the line is one
  std::optional<SessionId> session{};
  std::uint64_t generation = 0;
  std::string_view tunnel{};
  std::string_view service{};
  std::string_view peer{};
  std::string_view identity{};
  std::string_view reason{};
};

// As long as it lives, the lines of this thread are about `subject`, whose texts live longer; then
// about what they were about before.
class LogContext {
 public:
  explicit LogContext(const LogSubject& subject);
  ~LogContext();
  LogContext(const LogContext&) = delete;
  LogContext& operator=(const LogContext&) = delete;

 private:
  LogSubject subject_;
  const LogSubject* outer_;
};

// Of this thread; null when nothing has been said.
const LogSubject* subject_of_lines();

// Takes effect at once.
void set_log_level(LogLevel level);
LogLevel log_level();

}  // namespace backedpipe
