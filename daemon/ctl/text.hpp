// Text for people at a terminal. Pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backedpipe::ctl {

// Makes text from elsewhere harmless for a terminal: control characters (C0, DEL and C1),
// characters that reorder or break lines, and bytes that are not UTF-8 are escaped as \xNN.
// Otherwise an error text from a peer could move the cursor or forge other lines.
std::string visible(std::string_view text);

// The number of columns on the terminal: two for a wide character (Chinese, Japanese, Korean, most
// emoji), none for a combining mark. `text` must be UTF-8, as visible() returns it.
std::size_t display_width(std::string_view text);

// The text; if it is wider than `columns`, as much of its beginning as fits, and an ellipsis.
std::string fit(std::string_view text, std::size_t columns);

// "0 B", "1023 B", "1.2 MiB", "64 KiB".
std::string human_size(std::uint64_t size_bytes);

// The same in at most 5 columns: "0", "1023", "1.2M", "64K".
std::string compact_size(double size_bytes);

// The two largest units: "12s", "3m12s", "2h5m", "4d7h"; "0s" for a time in the future.
std::string human_age(std::chrono::seconds age);

// "0.213 ms", "12.3 ms", "1.5 s".
std::string human_milliseconds(double milliseconds);

// The same in at most 6 columns: "0.21ms", "12.3ms", "1.5s".
std::string compact_milliseconds(double milliseconds);

// "1 session", "2 sessions".
std::string counted(std::uint64_t count, std::string_view singular);

// Reads a time as the control socket writes it: RFC 3339 in UTC, "2024-02-29T23:59:59.999Z".
std::optional<std::chrono::system_clock::time_point> parse_timestamp(std::string_view text);

}  // namespace backedpipe::ctl
