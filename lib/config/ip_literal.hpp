// Numeric addresses, checked without the socket library, which this layer does not use.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace backedpipe::config {

// Four decimal numbers from 0 to 255, without leading zeros (RFC 6943, section 3.1.1: those would
// be octal to some readers).
std::optional<std::uint32_t> parse_ipv4(std::string_view text);

// The text forms of RFC 4291, section 2.2, without brackets and without a zone.
std::optional<std::array<std::uint16_t, 8>> parse_ipv6(std::string_view text);

}  // namespace backedpipe::config
