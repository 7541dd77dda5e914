#include "proto/reason.hpp"

#include <string>

namespace backedpipe {
namespace {

struct Entry {
  Reason reason;
  std::string_view name;
  std::string_view sentence;
};

constexpr Entry kEntries[] = {
    {Reason::none, "none", "no reason given"},
    {Reason::closed, "closed", "the session ended cleanly"},
    {Reason::protocol_error, "protocol_error", "the peer broke the protocol"},
    {Reason::version_unsupported, "version_unsupported", "no protocol version in common"},
    {Reason::not_authorised, "not_authorised", "not authorised"},
    {Reason::unknown_service, "unknown_service", "the server has no such service"},
    {Reason::unknown_session, "unknown_session", "the server does not know this session"},
    {Reason::stale_generation, "stale_generation", "a newer link has already taken over"},
    {Reason::target_refused, "target_refused", "the target of the service cannot be reached"},
    {Reason::future_sequence, "future_sequence", "an offset lies beyond what was ever sent"},
    {Reason::replay_unavailable, "replay_unavailable", "an offset lies before what is still kept"},
    {Reason::window_exceeded, "window_exceeded", "data lies beyond the window"},
    {Reason::application_reset, "application_reset", "the application reset its connection"},
    {Reason::closed_by_operator, "closed_by_operator", "closed on request"},
    {Reason::expired, "expired", "detached for too long"},
    {Reason::session_limit, "session_limit", "too many sessions"},
    {Reason::overloaded, "overloaded", "the server is overloaded"},
    {Reason::shutting_down, "shutting_down", "the server is shutting down"},
};

const Entry* find(int code) {
  for (const Entry& entry : kEntries) {
    if (static_cast<int>(entry.reason) == code) return &entry;
  }
  return nullptr;
}

class ReasonCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "backedpipe"; }
  std::string message(int code) const override {
    if (const Entry* entry = find(code)) return std::string(entry->sentence);
    return "reason " + std::to_string(code);
  }
};

}  // namespace

std::string_view name(Reason reason) {
  const Entry* entry = find(static_cast<int>(reason));
  return entry ? entry->name : "unknown";
}

const boost::system::error_category& reason_category() {
  static const ReasonCategory category;
  return category;
}

std::optional<Reason> reason_of(const boost::system::error_code& error) {
  if (error.category() != reason_category()) return std::nullopt;
  return static_cast<Reason>(error.value());
}

}  // namespace backedpipe
