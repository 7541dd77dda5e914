#include "proto/session_id.hpp"

#include <cstring>

namespace backedpipe {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_string(const SessionId& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(id.bytes.size() * 2);
  for (std::uint8_t byte : id.bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

std::optional<SessionId> parse_session_id(std::string_view text) {
  SessionId id;
  if (text.size() != id.bytes.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return id;
}

}  // namespace backedpipe

std::size_t std::hash<backedpipe::SessionId>::operator()(
    const backedpipe::SessionId& id) const noexcept {
  std::uint64_t halves[2];
  static_assert(sizeof halves == sizeof id.bytes);
  std::memcpy(halves, id.bytes.data(), sizeof halves);
  std::uint64_t mixed = halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15ULL);
  mixed ^= mixed >> 32;
  return static_cast<std::size_t>(mixed);
}
