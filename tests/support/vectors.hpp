// Reads the byte vectors of proto/vectors. BACKEDPIPE_SOURCE_DIR names the root of
// the source tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace backedpipe::vectors {

inline nlohmann::json load(const std::string& file) {
  const std::string path = std::string(BACKEDPIPE_SOURCE_DIR "/proto/vectors/") + file;
  std::ifstream stream(path);
  if (!stream) throw std::runtime_error("cannot open " + path);
  return nlohmann::json::parse(stream).at("vectors");
}

// Hex digits of either case; spaces are skipped.
inline std::vector<std::byte> bytes_of_hex(std::string_view hex) {
  static constexpr std::string_view kDigits = "0123456789abcdef0123456789ABCDEF";
  std::vector<std::byte> bytes;
  std::size_t high = std::string_view::npos;
  for (const char c : hex) {
    if (c == ' ') continue;
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) throw std::runtime_error("not hex: " + std::string(hex));
    if (high == std::string_view::npos) {
      high = digit % 16;
    } else {
      bytes.push_back(static_cast<std::byte>(high * 16 + digit % 16));
      high = std::string_view::npos;
    }
  }
  if (high != std::string_view::npos) throw std::runtime_error("half a byte: " + std::string(hex));
  return bytes;
}

// A field of `vector` that holds hex.
inline std::vector<std::byte> bytes(const nlohmann::json& vector, const char* field = "hex") {
  return bytes_of_hex(vector.at(field).get<std::string>());
}

// A field of `vector` that holds a 64-bit number as a decimal string.
inline std::uint64_t number(const nlohmann::json& vector, const char* field) {
  return std::stoull(vector.at(field).get<std::string>());
}

}  // namespace backedpipe::vectors
