// What outlives a session's process, as bytes.
#include <cstring>
#include <utility>

#include "proto/wire.hpp"
#include "session/session.hpp"

namespace backedpipe {
namespace {

using Phase = Session::Phase;
using ServerKnows = DiallingSide::ServerKnows;

constexpr std::uint32_t kSnapshotFormat = 0x42535331;  // "BSS1"
constexpr std::uint8_t kSaidHello = 1;
constexpr std::uint8_t kWelcomed = 2;
constexpr std::uint8_t kApplicationReset = 4;

}  // namespace

SessionRecord Session::record() const {
  return {.id = identity_.id,
          .role = identity_.role,
          .service = identity_.service,
          .server_knows = dials() ? dialling_->server_knows : ServerKnows::no,
          .application_reset = application_reset_,
          .links = links_};
}

std::vector<std::byte> Session::snapshot() const {
  const SessionRecord state = record();
  std::uint8_t flags = state.application_reset ? kApplicationReset : 0;
  if (state.server_knows != ServerKnows::no) flags |= kSaidHello;
  if (state.server_knows == ServerKnows::yes) flags |= kWelcomed;
  wire::Writer writer;
  writer.integer(kSnapshotFormat);
  writer.bytes(std::as_bytes(std::span(state.id.bytes)));
  writer.integer(static_cast<std::uint8_t>(state.role));
  writer.integer(flags);
  writer.integer(state.links);
  writer.integer(static_cast<std::uint8_t>(state.service.size()));
  writer.bytes(std::as_bytes(std::span(state.service.data(), state.service.size())));
  writer.bytes(pipe_.snapshot());
  return std::move(writer.buffer());
}

Result<void> Session::restore(ConstBytes snapshot) {
  wire::Reader reader(snapshot);
  const auto format = reader.integer<std::uint32_t>();
  const auto id = reader.take(identity_.id.bytes.size());
  const auto role = reader.integer<std::uint8_t>();
  const auto flags = reader.integer<std::uint8_t>();
  const auto links = reader.integer<std::uint64_t>();
  const auto service_size = reader.integer<std::uint8_t>();
  if (!service_size || *format != kSnapshotFormat || *role > 1) return Reason::protocol_error;
  const auto service = reader.take(*service_size);
  if (!service) return Reason::protocol_error;
  std::memcpy(identity_.id.bytes.data(), id->data(), id->size());
  identity_.role = static_cast<Role>(*role);
  identity_.service.assign(reinterpret_cast<const char*>(service->data()), service->size());
  if (identity_.role == Role::server) dialling_.reset();
  if (identity_.role == Role::client && !dials()) return Reason::protocol_error;
  if (dials()) {
    dialling_->server_knows = (*flags & kWelcomed) != 0    ? ServerKnows::yes
                              : (*flags & kSaidHello) != 0 ? ServerKnows::perhaps
                                                           : ServerKnows::no;
  }
  application_reset_ = (*flags & kApplicationReset) != 0;
  links_ = *links;
  const auto restored = pipe_.restore(snapshot.last(reader.remaining()));
  if (!restored) return restored;
  if (resetting()) {
    phase_ = Phase::resetting;
  } else if (dials() && pipe_.done()) {
    phase_ = Phase::lingering;
  } else if (!dials() || dialling_->server_knows == ServerKnows::yes) {
    phase_ = Phase::open;
  }
  return restored;
}

}  // namespace backedpipe
