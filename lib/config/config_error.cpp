#include "config/config_error.hpp"

namespace backedpipe {

std::string to_string(const ConfigError& error) {
  std::string text = error.file;
  if (error.line > 0) text.append(":").append(std::to_string(error.line));
  if (error.line > 0 && error.column > 0) text.append(":").append(std::to_string(error.column));
  if (!text.empty()) text += ": ";
  if (!error.pointer.empty()) text += error.pointer + ": ";
  return text + error.message;
}

std::string to_string(const ConfigErrors& errors) {
  std::string text;
  for (const ConfigError& error : errors) {
    if (!text.empty()) text += '\n';
    text += to_string(error);
  }
  return text;
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  const bool cut = text.size() > max_bytes;
  if (cut) {
    std::size_t end = max_bytes;
    // UTF-8 continuation bytes are 10xxxxxx: step back to the start of the character.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
      --end;
    text = text.substr(0, end);
  }
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out += kHex[byte >> 4U];
      out += kHex[byte & 0xFU];
    } else {
      out += c;
    }
  }
  if (cut) out += "...";
  return out;
}

std::string in_quotes(std::string_view text, std::size_t max_bytes) {
  return std::string(1, '"').append(printable(text, max_bytes)).append(1, '"');
}

}  // namespace backedpipe
