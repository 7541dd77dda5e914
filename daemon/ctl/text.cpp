#include "daemon/ctl/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace backedpipe::ctl {
namespace {

using Byte = unsigned char;

struct Character {
  char32_t code = 0;
  std::size_t length_bytes = 0;  // 0: not UTF-8
};

// The character at the beginning of the text, by RFC 3629, section 4: no overlong forms, no
// surrogates, nothing beyond U+10FFFF.
Character first_character(std::string_view text) {
  const auto lead = static_cast<Byte>(text[0]);
  if (lead < 0x80) return {lead, 1};
  std::size_t length = 0;
  char32_t code = 0;
  char32_t least = 0;
  if ((lead & 0xE0U) == 0xC0U) {
    length = 2;
    code = lead & 0x1FU;
    least = 0x80;
  } else if ((lead & 0xF0U) == 0xE0U) {
    length = 3;
    code = lead & 0x0FU;
    least = 0x800;
  } else if ((lead & 0xF8U) == 0xF0U) {
    length = 4;
    code = lead & 0x07U;
    least = 0x10000;
  } else {
    return {};
  }
  if (text.size() < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<Byte>(text[i]);
    if ((byte & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (byte & 0x3FU);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, length};
}

bool is_harmful(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) ||  // C0, DEL, C1
         code == 0x061C || code == 0x200E || code == 0x200F || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

struct Range {
  char32_t first;
  char32_t last;
};

// The ranges of Markus Kuhn's wcwidth(), and the emoji blocks that were added later.
constexpr std::array kNoColumn{Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD},
                               Range{0x0610, 0x061A}, Range{0x064B, 0x065F}, Range{0x1AB0, 0x1AFF},
                               Range{0x1DC0, 0x1DFF}, Range{0x200B, 0x200D}, Range{0x20D0, 0x20FF},
                               Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}};
constexpr std::array kTwoColumns{
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0x4DBF},
    Range{0x4E00, 0xA4CF},   Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},
    Range{0xF900, 0xFAFF},   Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},
    Range{0xFFE0, 0xFFE6},   Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF},
    Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD}};

std::size_t columns_of(char32_t code) {
  const auto holds = [code](const Range& range) {
    return range.first <= code && code <= range.last;
  };
  if (std::any_of(kNoColumn.begin(), kNoColumn.end(), holds)) return 0;
  return std::any_of(kTwoColumns.begin(), kTwoColumns.end(), holds) ? 2 : 1;
}

std::string one_decimal(double value) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string number(text);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number;
}

std::string no_decimal(double value) {
  char text[48];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

constexpr std::array<std::string_view, 7> kCompactUnits{"", "K", "M", "G", "T", "P", "E"};

}  // namespace

std::string visible(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    const bool escape = character.length_bytes == 0 || is_harmful(character.code);
    const std::size_t length = character.length_bytes == 0 ? 1 : character.length_bytes;
    for (const char c : text.substr(0, length)) {
      if (escape) {
        out += "\\x";
        out += kHex[static_cast<Byte>(c) >> 4U];
        out += kHex[static_cast<Byte>(c) & 0xFU];
      } else {
        out += c;
      }
    }
    text.remove_prefix(length);
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    width += columns_of(character.code);
    text.remove_prefix(std::max<std::size_t>(character.length_bytes, 1));
  }
  return width;
}

std::string fit(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t length_bytes = 0;
  std::size_t width = 0;
  while (length_bytes < text.size()) {
    const Character character = first_character(text.substr(length_bytes));
    width += columns_of(character.code);
    if (width > columns - 1) break;
    length_bytes += std::max<std::size_t>(character.length_bytes, 1);
  }
  return std::string(text.substr(0, length_bytes)) + "\u2026";
}

std::string human_size(std::uint64_t size_bytes) {
  static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (size_bytes < 1024) return std::to_string(size_bytes) + " B";
  double value = static_cast<double>(size_bytes) / 1024;
  std::size_t unit = 0;
  // A value that would be rounded to 1024 is shown as 1 of the next unit.
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return one_decimal(value) + " " + kUnits[unit];
}

std::string compact_size(double size_bytes) {
  double value = std::max(size_bytes, 0.0);
  std::size_t unit = 0;
  // A value that would be rounded to 1024 is shown as 1 of the next unit.
  while (value >= 1023.5 && unit + 1 < kCompactUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole = unit == 0 || value >= 99.95;
  return (whole ? no_decimal(value) : one_decimal(value)) + std::string(kCompactUnits[unit]);
}

std::string human_age(std::chrono::seconds age) {
  struct Unit {
    std::int64_t seconds;
    char letter;
  };
  static constexpr std::array kUnits{Unit{86400, 'd'}, Unit{3600, 'h'}, Unit{60, 'm'},
                                     Unit{1, 's'}};
  const std::int64_t total = age.count();
  if (total <= 0) return "0s";
  for (std::size_t i = 0; i < kUnits.size(); ++i) {
    const std::int64_t count = total / kUnits[i].seconds;
    if (count == 0) continue;
    std::string text = std::to_string(count) + kUnits[i].letter;
    if (i + 1 == kUnits.size()) return text;
    const std::int64_t rest = total % kUnits[i].seconds / kUnits[i + 1].seconds;
    return rest == 0 ? text : text + std::to_string(rest) + kUnits[i + 1].letter;
  }
  return "0s";
}

std::string human_milliseconds(double milliseconds) {
  if (milliseconds >= 1000) return one_decimal(milliseconds / 1000) + " s";
  if (milliseconds >= 1) return one_decimal(milliseconds) + " ms";
  char text[48];
  std::snprintf(text, sizeof text, "%.3f ms", milliseconds);
  return text;
}

std::string compact_milliseconds(double milliseconds) {
  if (milliseconds >= 999.5) {
    const double seconds = milliseconds / 1000;
    return (seconds >= 99.95 ? no_decimal(seconds) : one_decimal(seconds)) + "s";
  }
  if (milliseconds >= 99.95) return no_decimal(milliseconds) + "ms";
  if (milliseconds >= 9.995) return one_decimal(milliseconds) + "ms";
  char text[48];
  std::snprintf(text, sizeof text, "%.2fms", milliseconds);
  return text;
}

std::string counted(std::uint64_t count, std::string_view singular) {
  std::string text = std::to_string(count) + " ";
  text += singular;
  return count == 1 ? text : text + "s";
}

std::optional<std::chrono::system_clock::time_point> parse_timestamp(std::string_view text) {
  static constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd.dddZ";
  if (text.size() != kForm.size()) return std::nullopt;
  // The runs of digits, in order.
  std::array<int, 7> fields{};
  std::size_t field = 0;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'd') {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      fields[field] = fields[field] * 10 + (text[i] - '0');
    } else {
      if (text[i] != kForm[i]) return std::nullopt;
      ++field;
    }
  }
  const auto [year, month, day, hours, minutes, seconds, milliseconds] = fields;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // Outside of these years the clock's nanoseconds would overflow.
  if (!date.ok() || year < 1700 || year > 2200) return std::nullopt;
  if (hours > 23 || minutes > 59 || seconds > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
         std::chrono::seconds(seconds) + std::chrono::milliseconds(milliseconds);
}

}  // namespace backedpipe::ctl
