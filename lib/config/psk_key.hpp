// Pre-shared keys in memory.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace backedpipe {

// A pre-shared key of 256 bits. Plain value; every copy overwrites its bytes when it is destroyed.
struct PskKey {
  std::array<std::uint8_t, 32> bytes{};

  PskKey() = default;
  PskKey(const PskKey&) = default;
  PskKey& operator=(const PskKey&) = default;
  ~PskKey();
};

// "identity:hexkey" as a key file holds it, without a newline. The text is as secret as the key;
// wipe() it after use.
std::string format_key_line(std::string_view identity, const PskKey& key);

// Overwrites the text with zeros, which the compiler cannot optimise away, and empties it.
void wipe(std::string& secret);

}  // namespace backedpipe
