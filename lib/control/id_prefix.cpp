#include "control/id_prefix.hpp"

#include <algorithm>
#include <string>

namespace backedpipe {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_hex_digit(char c) {
  const char digit = lower(c);
  return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
}

}  // namespace

bool is_id_prefix(std::string_view text) {
  return text.size() >= kMinIdDigits && text.size() <= kMaxIdDigits &&
         std::all_of(text.begin(), text.end(), is_hex_digit);
}

bool begins_with(const SessionId& id, std::string_view prefix) {
  const std::string digits = to_string(id);
  return std::equal(prefix.begin(), prefix.end(), digits.begin(),
                    [](char wanted, char digit) { return lower(wanted) == digit; });
}

}  // namespace backedpipe
