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
//   reload      -                                          {reloaded: true}: keys and certificates
//   events      -                                          {subscribed: true}; from then on each
//                                                          event as a notification: see Event
//   log_level   {level}, optional                          {level}
//
// CONTROL.md describes them all.
//
// `id` is a session's id in hex, or the first 4 digits and more if no other session shares them;
// otherwise the error's data is {candidates: the first 8 ids that begin so}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/control_target.hpp"
#include "control/event.hpp"

namespace backedpipe {

// Of one line, without its newline. The daemon ends a connection that sends a longer one, after
// overlong_request_reply().
inline constexpr std::size_t kMaxRequestBytes = std::size_t{64} << 10;
// Arrays and objects inside one another; the methods need three, in a batch.
inline constexpr std::size_t kMaxRequestDepth = 16;
inline constexpr std::size_t kMaxBatchRequests = 64;
// Once the replies of a batch have come to this, the rest of it is refused and not carried out.
inline constexpr std::size_t kMaxBatchReplyBytes = std::size_t{16} << 20;

enum class ControlError : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  not_found = -32004,        // no session has this id
  ambiguous = -32005,        // several sessions' ids begin like this
  not_here = -32006,         // the session's client has to be asked
  reply_too_large = -32007,  // see kMaxBatchReplyBytes
  reload_failed = -32008,    // a file is not fit for use; nothing has changed
};

// The reply to one line, with a newline at its end. Empty when nothing is to be sent: for
// notifications, and for a blank line. Any bytes may come in; what goes out is valid JSON in UTF-8.
std::string handle_request(std::string_view line, ControlTarget& target);

// The reply to a line of more than kMaxRequestBytes, of which the rest has not been read.
std::string overlong_request_reply();

// What a connection that has subscribed gets, with a newline at its end: an event, and the number
// of events that it has missed because it read too slowly.
std::string event_notification(const Event& event);
std::string dropped_notification(std::uint64_t count);

}  // namespace backedpipe
