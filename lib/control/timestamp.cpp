#include "control/timestamp.hpp"

#include <cstdio>

namespace backedpipe {

std::string format_timestamp(std::chrono::system_clock::time_point time) {
  using std::chrono::days;
  using std::chrono::floor;
  using std::chrono::milliseconds;

  // Rounded to milliseconds first: the midnight before the clock's earliest time does not fit in
  // nanoseconds.
  const auto rounded = floor<milliseconds>(time);
  const auto day = floor<days>(rounded);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{rounded - day};
  // As large as the compiler's format check demands; the years of this clock have four digits.
  char text[96];
  std::snprintf(
      text, sizeof text, "%04d-%02u-%02uT%02ld:%02ld:%02ld.%03ldZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<long>(clock.hours().count()), static_cast<long>(clock.minutes().count()),
      static_cast<long>(clock.seconds().count()), static_cast<long>(clock.subseconds().count()));
  return text;
}

}  // namespace backedpipe
