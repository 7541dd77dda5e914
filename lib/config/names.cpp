#include "config/names.hpp"

#include <algorithm>
#include <vector>

#include "config/address.hpp"
#include "config/ip_literal.hpp"

namespace backedpipe {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view punctuation) {
  if (text.empty() || text.size() > kMaxNameBytes) return false;
  return std::all_of(text.begin(), text.end(), [punctuation](char c) {
    return is_alphanumeric(c) || punctuation.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Optimal string alignment: Levenshtein distance that counts two swapped neighbours as one error.
// Three rows of the table suffice, because a swap looks two rows back.
std::size_t typing_errors(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> previous(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, previous);
    std::swap(previous, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      row[j] = std::min({changed, previous[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::size_t distance(std::string_view wanted, std::string_view candidate) {
  const std::size_t errors = typing_errors(wanted, candidate);
  // An abbreviation ("warn" for "warning", "key" for "key_file") counts as at most two typing
  // errors.
  const bool is_abbreviation = wanted.size() >= 3 && candidate.substr(0, wanted.size()) == wanted;
  return is_abbreviation ? std::min<std::size_t>(errors, 2) : errors;
}

}  // namespace

bool is_valid_name(std::string_view text) {
  return consists_of(text, "._-");
}

bool is_valid_identity(std::string_view text) {
  return consists_of(text, "._-@");
}

bool is_valid_certificate_identity(std::string_view text) {
  constexpr std::size_t kMaxBytes = 255;
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '*'; });
}

bool is_valid_server_name(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return config::parse_ipv6(text).has_value();
  return parse_endpoint(std::string(text) + ":1").ok();
}

std::optional<std::string> nearest_name(std::string_view text,
                                        std::span<const std::string> candidates) {
  if (text.empty() || text.size() > kMaxNameBytes) return std::nullopt;
  const std::string wanted = lower(text);
  std::optional<std::string> nearest;
  std::size_t fewest = 0;
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || candidate.size() > kMaxNameBytes) continue;
    const std::size_t errors = distance(wanted, lower(candidate));
    const std::size_t longer = std::max(wanted.size(), candidate.size());
    // A word with one error in three letters can still be recognised; with more it is another word.
    if (errors > std::clamp<std::size_t>(longer / 3, 1, 4) || errors >= longer) continue;
    if (!nearest || errors < fewest) {
      nearest = candidate;
      fewest = errors;
    }
  }
  return nearest;
}

}  // namespace backedpipe
