#include "net/events/event_log.hpp"

#include <array>
#include <utility>

#include <spdlog/spdlog.h>

namespace backedpipe {
namespace {

thread_local const Event* being_logged = nullptr;
thread_local const LogSubject* subject = nullptr;

constexpr std::array kLevels{std::pair{LogLevel::trace, spdlog::level::trace},
                             std::pair{LogLevel::debug, spdlog::level::debug},
                             std::pair{LogLevel::info, spdlog::level::info},
                             std::pair{LogLevel::warning, spdlog::level::warn},
                             std::pair{LogLevel::error, spdlog::level::err},
                             std::pair{LogLevel::off, spdlog::level::off}};

}  // namespace

void log_event(const Event& event) {
  const LogContext about({.event = name(event.kind),
                          .session = event.session,
                          .generation = event.generation,
                          .tunnel = event.tunnel,
                          .service = event.service,
                          .peer = event.peer,
                          .identity = event.identity,
                          .reason = event.reason});
  being_logged = &event;
  spdlog::log(event.kind == Event::Kind::peer_down ? spdlog::level::warn : spdlog::level::info,
              "{}", describe(event));
  being_logged = nullptr;
}

const Event* event_being_logged() {
  return being_logged;
}

LogContext::LogContext(const LogSubject& about)
    : subject_(about), outer_(std::exchange(subject, &subject_)) {}

LogContext::~LogContext() {
  subject = outer_;
}

const LogSubject* subject_of_lines() {
  return subject;
}

void set_log_level(LogLevel level) {
  for (const auto& [ours, theirs] : kLevels) {
    if (ours == level) spdlog::set_level(theirs);
  }
}

LogLevel log_level() {
  for (const auto& [ours, theirs] : kLevels) {
    if (theirs == spdlog::get_level()) return ours;
  }
  return LogLevel::info;
}

}  // namespace backedpipe
