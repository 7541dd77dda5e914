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
  // The limit is for one line without its line end.
  explicit LineBuffer(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}

  // Appends received bytes. Take all lines out with next() before the next call, so that the buffer
  // never holds more than one line and the bytes of one call.
  void append(std::string_view bytes);

  // The next complete line, without its line end ("\n" or "\r\n"). Nothing when more bytes are
  // needed, or after an overlong line.
  std::optional<std::string> next();

  // A line exceeded the limit. This is final: everything after it is dropped.
  bool overflowed() const { return overflowed_; }

 private:
  void overflow();

  std::size_t max_line_bytes_;
  std::string bytes_;
  std::size_t begin_ = 0;    // of the first line that next() has not returned
  std::size_t scanned_ = 0;  // there is no newline in [begin_, scanned_)
  bool overflowed_ = false;
};

}  // namespace backedpipe
