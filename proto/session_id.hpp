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

// Reads exactly 32 hex digits, upper or lower case.
std::optional<SessionId> parse_session_id(std::string_view text);

}  // namespace backedpipe

template <>
struct std::hash<backedpipe::SessionId> {
  // A client may choose its ids to collide, so both halves are mixed.
  std::size_t operator()(const backedpipe::SessionId& id) const noexcept;
};
