// TokenCursor: the places of the tokens in a JSON text.
#pragma once

#include <cstddef>
#include <string_view>

namespace backedpipe::config {

// Where a token starts; lines and columns count from 1, columns in characters.
struct Position {
  int line = 1;
  int column = 1;
};

// Walks over JSON text token by token and knows where each one starts, which nlohmann's parser does
// not report. It checks nothing: the parser has accepted every token before this steps over it.
// Borrows the text. A plain value: copy it to look ahead.
class TokenCursor {
 public:
  struct Token {
    Position position;
    std::string_view text;  // as written, with quotes and escapes
  };

  explicit TokenCursor(std::string_view text);

  // The next value, key, brace or bracket; skips blanks, comments, ',' and ':'. The token is empty
  // at the end of the text.
  Token next();

  // The token that the parser refused, where `last_byte` is the offset of the last byte that it
  // read. Like next(), except that a ',' or ':' at that offset is the token.
  Token refused(std::size_t last_byte);

  // The last ',' or ':' that was skipped before the latest token; 0 when there was none.
  char separator() const { return separator_; }

 private:
  bool at_end() const { return offset_ >= text_.size(); }
  bool at_separator() const { return text_[offset_] == ',' || text_[offset_] == ':'; }
  void advance(std::size_t byte_count);
  void skip_blanks_and_comments();
  std::size_t comment_length() const;
  std::size_t token_length() const;

  std::string_view text_;
  std::size_t offset_ = 0;
  Position position_;
  char separator_ = 0;
};

}  // namespace backedpipe::config
