// Wall-clock times as text.
#pragma once

#include <chrono>
#include <string>

namespace backedpipe {

// RFC 3339 in UTC with milliseconds, rounded down: "2024-02-29T23:59:59.999Z".
std::string format_timestamp(std::chrono::system_clock::time_point time);

}  // namespace backedpipe
