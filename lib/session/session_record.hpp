// SessionRecord: the state of a Session that outlives its process, as plain values, and its
// encoding as bytes. The bytes of the streams are passed separately: see PipeRecord.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipe/pipe_record.hpp"
#include "proto/session_id.hpp"
#include "session/dial/dialling_side.hpp"

namespace backedpipe {

// Which side dials, and which side has the last word when a session ends.
enum class Role : std::uint8_t { client, server };

struct SessionRecord {
  SessionId id;
  Role role = Role::client;
  std::string service;                                                     // at most 255 bytes
  DiallingSide::ServerKnows server_knows = DiallingSide::ServerKnows::no;  // client
  bool application_reset = false;
  bool confirmed = true;  // see Session::confirmed
  std::uint64_t links = 0;
  PipeRecord pipe;
};

// As encode(PipeRecord).
std::vector<std::byte> encode(const SessionRecord& record, const HeldBytes& held);

struct DecodedSession {
  SessionRecord record;
  ConstBytes outbound;  // points into the decoded bytes
  ConstBytes inbound;
};
// Error: protocol_error for bytes that encode() cannot have written.
Result<DecodedSession> decode_session_record(ConstBytes bytes);

}  // namespace backedpipe
