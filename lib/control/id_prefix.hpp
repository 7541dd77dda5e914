// The beginning of a session's id, as people type it.
#pragma once

#include <cstddef>
#include <string_view>

#include "proto/session_id.hpp"

namespace backedpipe {

inline constexpr std::size_t kMinIdDigits = 4;
inline constexpr std::size_t kMaxIdDigits = 2 * sizeof(SessionId::bytes);

// True for kMinIdDigits to kMaxIdDigits hex digits, upper or lower case.
bool is_id_prefix(std::string_view text);

// Precondition: is_id_prefix(prefix).
bool begins_with(const SessionId& id, std::string_view prefix);

}  // namespace backedpipe
