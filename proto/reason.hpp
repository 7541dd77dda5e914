// Why a link or a session ended, or was refused: the codes that travel in REFUSED and RESET.
// PROTOCOL.md, section "Reasons", is the normative list.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace backedpipe {

// Codes below 0x8000 are permanent: trying again cannot help, the session is over. Codes from
// 0x8000 on are transient: the client tries again. The rule also holds for codes that this version
// does not know.
enum class Reason : std::uint16_t {
  none = 0,
  closed = 1,               // both directions finished and acknowledged: the clean end
  protocol_error = 2,       // bytes that are not this protocol, or frames that break its rules
  version_unsupported = 3,  // the peer speaks no version that we speak
  not_authorised = 4,       // wrong identity or key, or a service this identity may not use
  unknown_service = 5,      // no service of that name
  unknown_session = 6,      // a resume of a session that the server does not know
  stale_generation = 7,     // a generation not higher than the session's current one
  target_refused = 8,       // the service's target could not be reached
  future_sequence = 9,      // an offset beyond what was ever sent
  replay_unavailable = 10,  // an offset before what is still kept
  window_exceeded = 11,     // data beyond the window limit
  application_reset = 12,   // the application's connection was reset
  closed_by_operator = 13,  // closed on request, or its daemon was stopped
  expired = 14,             // detached for longer than resume_timeout, or evicted
  session_limit = 15,       // no room for another session, and none to evict

  overloaded = 0x8000,     // too many handshakes or sessions at present
  shutting_down = 0x8001,  // the server is being stopped
};

// True when a retry can help.
constexpr bool is_transient(Reason reason) {
  return (static_cast<std::uint16_t>(reason) & 0x8000U) != 0;
}

// A stable identifier such as "stale_generation", for JSON and logs; "unknown" for a code that this
// version does not know.
std::string_view name(Reason reason);

const boost::system::error_category& reason_category();

inline boost::system::error_code make_error_code(Reason reason) {
  return {static_cast<int>(reason), reason_category()};
}

// The reason inside an error, if the error is one of ours.
std::optional<Reason> reason_of(const boost::system::error_code& error);

template <typename T>
using Result = boost::system::result<T>;

}  // namespace backedpipe

template <>
struct boost::system::is_error_code_enum<backedpipe::Reason> : std::true_type {};
