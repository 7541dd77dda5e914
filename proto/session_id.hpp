// The 128-bit id of a session: chosen at random by the client, never reused, never a secret on its
// own (a session belongs to the identity that opened it).
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace backedpipe {

struct SessionId {
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const SessionId&, const SessionId&) = default;
};

// 32 lower-case hex digits.
std::string to_string(const SessionId& id);

// Reads 32 hex digits of either case; nothing else is an id.
std::optional<SessionId> parse_session_id(std::string_view text);

}  // namespace backedpipe

template <>
struct std::hash<backedpipe::SessionId> {
  // The server must not trust a client's id to be random: mix both halves.
  std::size_t operator()(const backedpipe::SessionId& id) const noexcept;
};
