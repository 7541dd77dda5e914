#include "config/psk_key.hpp"

#include <string.h>  // explicit_bzero

namespace backedpipe {

PskKey::~PskKey() {
  ::explicit_bzero(bytes.data(), bytes.size());
}

std::string format_key_line(std::string_view identity, const PskKey& key) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string line;
  // Growth would leave a copy of the key in freed memory.
  line.reserve(identity.size() + 1 + 2 * key.bytes.size());
  line.append(identity).append(":");
  for (const std::uint8_t byte : key.bytes) {
    line += kHex[byte >> 4U];
    line += kHex[byte & 0xFU];
  }
  return line;
}

void wipe(std::string& secret) {
  ::explicit_bzero(secret.data(), secret.size());
  secret.clear();
}

}  // namespace backedpipe
