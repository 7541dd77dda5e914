// LineBuffer cuts a stream of bytes into lines, within fixed memory. Owned by one connection, on
// its thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace backedpipe {

class LineBuffer {
 public:
  // The limit is for one line without its end.
  explicit LineBuffer(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

  // Bytes as they came. Take the lines out with next() before the following call: what is held is
  // then never more than one line and the bytes of one call.
  void append(std::string_view bytes);

  // The next complete line, without its end ("\n" or "\r\n"). Nothing when more bytes are needed,
  // or after an overlong line.
  std::optional<std::string> next();

  // A line exceeded the limit. There is no way to go on: everything from here on is dropped.
  bool overflowed() const { return overflowed_; }

 private:
  void overflow();

  std::size_t max_line_bytes_;
  std::string bytes_;
  std::size_t begin_ = 0;    // of the first line not taken yet
  std::size_t scanned_ = 0;  // there is no newline in [begin_, scanned_)
  bool overflowed_ = false;
};

}  // namespace backedpipe
