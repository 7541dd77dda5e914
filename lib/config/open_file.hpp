// OpenFile: a file that this layer reads.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace backedpipe::config {

// A file opened for reading; closed with the object.
class OpenFile {
 public:
  // Opens without waiting for a writer if the path is a FIFO; for callers that then refuse anything
  // but a regular file.
  struct NonBlocking {};

  explicit OpenFile(const std::string& path);
  OpenFile(const std::string& path, NonBlocking);
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  // When false, errno says why.
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  // Reads until the end of the file or of the buffer. Returns the number of bytes read; nothing on
  // an error, which errno tells.
  std::optional<std::size_t> read(std::span<char> buffer) const;

 private:
  int descriptor_;
};

}  // namespace backedpipe::config
