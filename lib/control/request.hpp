// Requests on the control socket: JSON-RPC 2.0 (https://www.jsonrpc.org/specification), one object
// or one batch a line, one line in reply.
//
//   method      params                                     result
//   status      -                                          the daemon: see StatusSnapshot
//   sessions    {tunnel, service, peer, state}, each       a list of sessions: see SessionSnapshot
//               optional: only those that match
//   session     {id}                                       one session
//   reconnect   {id} or {all: true}                        {id, reconnecting: 1}, {reconnecting: N}
//   close       {id}                                       {id, closed: true}
//   reload      -                                          {reloaded: true, after_restart: []}
//   drain       {timeout_s}, optional                      {draining: true, sessions, timeout_s}
//   stop        none                                       {stopping: true, sessions}
//   upgrade     -                                          {upgrading: true, supervisor: its pid}
//   events      -                                          {subscribed: true}; from then on each
//                                                          event as a notification: see Event
//   log_level   {level}, optional                          {level}
//
// CONTROL.md describes them all.
//
// `id` is a session's id in hex, or at least its first 4 digits if no other session's id begins
// with them; if one does, the error's data is {candidates: the first 8 such ids}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/control_target.hpp"
#include "control/event.hpp"

namespace backedpipe {

// The longest line, without its newline. After a longer one the daemon sends
// overlong_request_reply() and ends the connection.
inline constexpr std::size_t kMaxRequestBytes = std::size_t{64} << 10;
// How deep arrays and objects may nest; a batch of method calls needs three levels.
inline constexpr std::size_t kMaxRequestDepth = 16;
inline constexpr std::size_t kMaxBatchRequests = 64;
// Once the replies of a batch reach this size, its other requests are refused and not carried out.
inline constexpr std::size_t kMaxBatchReplyBytes = std::size_t{16} << 20;

enum class ControlError : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  not_found = -32004,        // no session has this id
  ambiguous = -32005,        // the ids of several sessions begin like this
  not_here = -32006,         // only the session's client can do this
  reply_too_large = -32007,  // see kMaxBatchReplyBytes
  reload_failed = -32008,    // a file cannot be used; nothing has changed
  no_supervisor = -32009,    // nobody can replace the daemon
};

// The reply to one line, with a newline at its end. Empty for notifications and for a blank line.
// The line may contain any bytes; the reply is valid JSON in UTF-8.
std::string handle_request(std::string_view line, ControlTarget& target);

// The reply to a line of more than kMaxRequestBytes, whose rest is not read.
std::string overlong_request_reply();

// What a subscribed connection gets, with a newline at its end: an event, or the number of events
// that it has missed because it read too slowly.
std::string event_notification(const Event& event);
std::string dropped_notification(std::uint64_t count);

}  // namespace backedpipe
