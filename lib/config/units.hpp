// Sizes and durations as people write them. Pure functions; errors are phrases for Checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/checked.hpp"

namespace backedpipe {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

// A whole number and a unit, without a space: "512B", "64KiB", "16MiB", "2GiB", "1TiB", and the
// decimal "64KB", "16MB", "2GB", "1TB". A number alone is bytes.
Checked<std::uint64_t> parse_size(std::string_view text);

// A whole number and a unit, without a space: "250ms", "5s", "10m", "24h". The unit is required.
Checked<std::chrono::milliseconds> parse_duration(std::string_view text);

// The shortest exact spelling that the parsers above read back: 65536 is "64KiB", 90 s is "90s".
std::string format_size(std::uint64_t size_bytes);
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace backedpipe
