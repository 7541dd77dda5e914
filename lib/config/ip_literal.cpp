#include "config/ip_literal.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <vector>

namespace backedpipe::config {
namespace {

std::optional<std::uint32_t> parse_number(std::string_view text, std::size_t max_digits, int base) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

// The groups on one side of "::"; with `ipv4_tail`, an IPv4 address may stand for the last two. An
// empty text has no groups. Nothing when the text is wrong.
std::optional<std::vector<std::uint16_t>> parse_groups(std::string_view text, bool ipv4_tail) {
  std::vector<std::uint16_t> groups;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    const bool last = colon == std::string_view::npos;
    if (last && ipv4_tail && part.find('.') != std::string_view::npos) {
      const auto address = parse_ipv4(part);
      if (!address) return std::nullopt;
      groups.push_back(static_cast<std::uint16_t>(*address >> 16U));
      groups.push_back(static_cast<std::uint16_t>(*address & 0xFFFFU));
    } else {
      const auto group = parse_number(part, 4, 16);
      if (!group) return std::nullopt;
      groups.push_back(static_cast<std::uint16_t>(*group));
    }
    if (groups.size() > 8) return std::nullopt;
    if (last) break;
    text.remove_prefix(colon + 1);
    if (text.empty()) return std::nullopt;  // it ended in a single colon
  }
  return groups;
}

}  // namespace

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  std::uint32_t address = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (part == 3)) return std::nullopt;
    const std::string_view digits = text.substr(0, dot);
    const auto number = parse_number(digits, 3, 10);
    if (!number || *number > 255 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
    address = address << 8U | *number;
    if (part < 3) text.remove_prefix(dot + 1);
  }
  return address;
}

std::optional<std::array<std::uint16_t, 8>> parse_ipv6(std::string_view text) {
  std::array<std::uint16_t, 8> address{};
  const std::size_t gap = text.find("::");
  const bool has_gap = gap != std::string_view::npos;
  const auto head = parse_groups(text.substr(0, gap), !has_gap);
  const auto tail = has_gap ? parse_groups(text.substr(gap + 2), true)
                            : std::optional(std::vector<std::uint16_t>{});
  if (!head || !tail) return std::nullopt;
  const std::size_t count = head->size() + tail->size();
  // "::" stands for at least one group.
  if (has_gap ? count > 7 : count != 8) return std::nullopt;
  std::copy(head->begin(), head->end(), address.begin());
  std::copy_backward(tail->begin(), tail->end(), address.end());
  return address;
}

}  // namespace backedpipe::config
