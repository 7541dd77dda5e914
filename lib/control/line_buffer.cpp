#include "control/line_buffer.hpp"

namespace backedpipe {

void LineBuffer::append(std::string_view bytes) {
  if (overflowed_) return;
  bytes_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  bytes_.append(bytes);
}

std::optional<std::string> LineBuffer::next() {
  const std::size_t newline = bytes_.find('\n', scanned_);
  if (newline == std::string::npos) {
    scanned_ = bytes_.size();
    // The byte beyond the limit may be the '\r' of an incomplete line end.
    const std::size_t held = bytes_.size() - begin_;
    if (held > max_line_bytes_ + 1 || (held == max_line_bytes_ + 1 && bytes_.back() != '\r')) {
      overflow();
    }
    return std::nullopt;
  }
  std::size_t end = newline;
  if (end > begin_ && bytes_[end - 1] == '\r') --end;
  if (end - begin_ > max_line_bytes_) {
    overflow();
    return std::nullopt;
  }
  std::string line = bytes_.substr(begin_, end - begin_);
  begin_ = newline + 1;
  scanned_ = begin_;
  return line;
}

void LineBuffer::overflow() {
  overflowed_ = true;
  bytes_ = std::string();
  begin_ = 0;
  scanned_ = 0;
}

}  // namespace backedpipe
