#include "config/token_cursor.hpp"

#include <algorithm>

namespace backedpipe::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

TokenCursor::TokenCursor(std::string_view text) : text_(text) {
  // The parser skips it, too.
  if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) offset_ = kByteOrderMark.size();
}

TokenCursor::Token TokenCursor::next() {
  return refused(text_.size());
}

TokenCursor::Token TokenCursor::refused(std::size_t last_byte) {
  separator_ = 0;
  skip_blanks_and_comments();
  while (!at_end() && at_separator() && offset_ != last_byte) {
    separator_ = text_[offset_];
    advance(1);
    skip_blanks_and_comments();
  }
  const Position start = position_;
  const std::string_view token = text_.substr(std::min(offset_, text_.size()), token_length());
  advance(token.size());
  return {start, token};
}

void TokenCursor::advance(std::size_t byte_count) {
  const std::size_t end = std::min(text_.size(), offset_ + byte_count);
  for (; offset_ < end; ++offset_) {
    const auto byte = static_cast<unsigned char>(text_[offset_]);
    if (byte == '\n') {
      ++position_.line;
      position_.column = 1;
    } else if ((byte & 0xC0U) != 0x80U) {  // UTF-8 continuation bytes do not count
      ++position_.column;
    }
  }
}

void TokenCursor::skip_blanks_and_comments() {
  while (!at_end()) {
    const char c = text_[offset_];
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      advance(1);
    } else if (const std::size_t length = comment_length(); length > 0) {
      advance(length);
    } else {
      return;
    }
  }
}

// 0 when no complete comment starts here.
std::size_t TokenCursor::comment_length() const {
  const std::string_view rest = text_.substr(offset_);
  if (rest.substr(0, 2) == "//") return std::min(rest.find_first_of("\r\n"), rest.size());
  if (rest.substr(0, 2) == "/*") {
    const std::size_t end = rest.find("*/", 2);
    return end == std::string_view::npos ? 0 : end + 2;
  }
  return 0;
}

std::size_t TokenCursor::token_length() const {
  if (at_end()) return 0;
  const std::string_view rest = text_.substr(offset_);
  if (rest.front() == '"') {
    for (std::size_t i = 1; i < rest.size(); ++i) {
      if (rest[i] == '\\') {
        ++i;
      } else if (rest[i] == '"') {
        return i + 1;
      } else if (rest[i] == '\n') {
        return i;  // only in a string that the parser refuses
      }
    }
    return rest.size();
  }
  if (std::string_view("{}[],:/").find(rest.front()) != std::string_view::npos) return 1;
  return std::min(rest.find_first_of(" \t\r\n{}[],:/\""), rest.size());
}

}  // namespace backedpipe::config
