#include "daemon/ctl/text.hpp"

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

std::string one_decimal(double value) {
  char text[48];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string number(text);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number;
}

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
  for (const char c : text) {
    // Continuation bytes of UTF-8 are 10xxxxxx.
    if ((static_cast<Byte>(c) & 0xC0U) != 0x80U) ++width;
  }
  return width;
}

std::string human_size(std::uint64_t size_bytes) {
  static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (size_bytes < 1024) return std::to_string(size_bytes) + " B";
  double value = static_cast<double>(size_bytes) / 1024;
  std::size_t unit = 0;
  // What would be rounded to 1024 is 1 of the next unit.
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return one_decimal(value) + " " + kUnits[unit];
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
  // Outside of these years the clock's nanoseconds overflow.
  if (!date.ok() || year < 1700 || year > 2200) return std::nullopt;
  if (hours > 23 || minutes > 59 || seconds > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
         std::chrono::seconds(seconds) + std::chrono::milliseconds(milliseconds);
}

}  // namespace backedpipe::ctl
