#include "session/session_record.hpp"

#include <cstring>
#include <utility>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

using ServerKnows = DiallingSide::ServerKnows;

constexpr std::uint32_t kFormat = 0x42535331;  // "BSS1"
constexpr std::uint8_t kSaidHello = 1;
constexpr std::uint8_t kWelcomed = 2;
constexpr std::uint8_t kApplicationReset = 4;
constexpr std::uint8_t kUnconfirmed = 8;

std::uint8_t flags_of(const SessionRecord& record) {
  std::uint8_t flags = record.application_reset ? kApplicationReset : 0;
  if (record.server_knows != ServerKnows::no) flags |= kSaidHello;
  if (record.server_knows == ServerKnows::yes) flags |= kWelcomed;
  if (!record.confirmed) flags |= kUnconfirmed;
  return flags;
}

ServerKnows server_knows_of(std::uint8_t flags) {
  if ((flags & kWelcomed) != 0) return ServerKnows::yes;
  return (flags & kSaidHello) != 0 ? ServerKnows::perhaps : ServerKnows::no;
}

}  // namespace

std::vector<std::byte> encode(const SessionRecord& record, const HeldBytes& held) {
  wire::Writer writer;
  writer.integer(kFormat);
  writer.bytes(std::as_bytes(std::span(record.id.bytes)));
  writer.integer(static_cast<std::uint8_t>(record.role));
  writer.integer(flags_of(record));
  writer.integer(record.links);
  writer.integer(static_cast<std::uint8_t>(record.service.size()));
  writer.bytes(std::as_bytes(std::span(record.service.data(), record.service.size())));
  writer.bytes(encode(record.pipe, held));
  return std::move(writer.buffer());
}

Result<DecodedSession> decode_session_record(ConstBytes bytes) {
  wire::Reader reader(bytes);
  const auto format = reader.integer<std::uint32_t>();
  const auto id = reader.take(SessionId().bytes.size());
  const auto role = reader.integer<std::uint8_t>();
  const auto flags = reader.integer<std::uint8_t>();
  const auto links = reader.integer<std::uint64_t>();
  const auto service_size = reader.integer<std::uint8_t>();
  if (!service_size || *format != kFormat || *role > 1) return Reason::protocol_error;
  const auto service = reader.take(*service_size);
  if (!service) return Reason::protocol_error;
  const auto pipe = decode_record(bytes.last(reader.remaining()));
  if (!pipe) return pipe.error();
  DecodedSession decoded{.record = {}, .outbound = pipe->outbound, .inbound = pipe->inbound};
  SessionRecord& record = decoded.record;
  std::memcpy(record.id.bytes.data(), id->data(), id->size());
  record.role = static_cast<Role>(*role);
  record.service.assign(reinterpret_cast<const char*>(service->data()), service->size());
  record.server_knows = server_knows_of(*flags);
  record.application_reset = (*flags & kApplicationReset) != 0;
  record.confirmed = (*flags & kUnconfirmed) == 0;
  record.links = *links;
  record.pipe = pipe->record;
  return decoded;
}

}  // namespace backedpipe
