#include "config/key_file.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "config/names.hpp"

namespace backedpipe {
namespace {

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

bool parse_key(std::string_view hex, PskKey& key) {
  if (hex.size() != 2 * key.bytes.size()) return false;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) {
    const auto high = hex_digit(hex[2 * i]);
    const auto low = hex_digit(hex[2 * i + 1]);
    if (!high || !low) return false;
    key.bytes[i] = static_cast<std::uint8_t>(*high << 4U | *low);
  }
  return true;
}

std::string_view trim(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t begin = line.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
}

// What is wrong with the line; nothing when it was read into `entry`.
std::optional<std::string> parse_line(std::string_view line, KeyEntry& entry) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    return "found a line without ':', expected identity:hexkey";
  }
  const std::string_view identity = line.substr(0, colon);
  const std::string_view hex = line.substr(colon + 1);
  if (!is_valid_identity(identity)) {
    return "found a wrong identity before ':', " + std::string(kExpectedIdentity);
  }
  if (!parse_key(hex, entry.key)) {
    const bool right_length = hex.size() == 2 * entry.key.bytes.size();
    return "found " +
           (right_length ? std::string("a character that is not a hex digit")
                         : std::to_string(hex.size()) + " characters") +
           " after ':', expected a key of 64 hex digits";
  }
  entry.identity = identity;
  return std::nullopt;
}

}  // namespace

const PskKey* KeyFile::find(std::string_view identity) const {
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [identity](const KeyEntry& e) { return e.identity == identity; });
  return entry == entries.end() ? nullptr : &entry->key;
}

Checked<KeyFile, ConfigErrors> parse_key_file(std::string_view text, const std::string& file_name) {
  using Parsed = Checked<KeyFile, ConfigErrors>;
  constexpr std::size_t kMaxErrors = 100;
  KeyFile keys;
  ConfigErrors errors;
  std::map<std::string, int> lines;  // identity to its line
  for (int number = 1; !text.empty() && errors.size() < kMaxErrors; ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;

    KeyEntry entry;
    auto problem = parse_line(line, entry);
    if (!problem) {
      const auto [first, is_new] = lines.emplace(entry.identity, number);
      if (!is_new) {
        problem = "found the identity of line " + std::to_string(first->second) +
                  " again, expected every identity once";
      }
    }
    if (problem) {
      errors.push_back({file_name, number, 0, "", std::move(*problem)});
    } else {
      keys.entries.push_back(std::move(entry));
    }
  }
  if (errors.empty() && keys.entries.empty()) {
    errors.push_back(
        {file_name, 0, 0, "", "found no key, expected at least one line identity:hexkey"});
  }
  if (!errors.empty()) return Parsed::failure(std::move(errors));
  return keys;
}

Checked<KeyEntry, ConfigErrors> single_key(const KeyFile& keys, const std::string& file_name) {
  if (keys.entries.size() == 1) return keys.entries.front();
  return Checked<KeyEntry, ConfigErrors>::failure(
      {{file_name, 0, 0, "",
        "found " + std::to_string(keys.entries.size()) +
            " keys, expected exactly one: a client's key file says who the client is"}});
}

}  // namespace backedpipe
