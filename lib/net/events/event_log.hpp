// Events as log lines, the subject of log lines, and the log level.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/settings.hpp"
#include "control/event.hpp"

namespace backedpipe {

void log_event(const Event& event);

// The event whose line this thread is writing, or null. A log of JSON objects adds its fields to
// the text.
const Event* event_being_logged();

// The subject of log lines, for a log that has fields as well as text. Empty or 0: no such field.
struct LogSubject {
  std::string_view event{};  // its kind, if the line reports an event
  std::optional<SessionId> session{};
  std::uint64_t generation = 0;
  std::string_view tunnel{};
  std::string_view service{};
  std::string_view peer{};
  std::string_view identity{};
  std::string_view reason{};
};

// While it exists, this thread's log lines are about `subject`; afterwards they are about the
// previous subject again. The texts in `subject` must outlive it.
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

// The current subject of this thread, or null.
const LogSubject* subject_of_lines();

// Takes effect at once.
void set_log_level(LogLevel level);
LogLevel log_level();

}  // namespace backedpipe
