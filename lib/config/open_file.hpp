// The files that this layer reads.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace backedpipe::config {

// A file opened for reading; closed with the object.
class OpenFile {
 public:
  // For what must be a regular file: does not wait for a writer when the path is a FIFO.
  struct NonBlocking {};

  explicit OpenFile(const std::string& path);
  OpenFile(const std::string& path, NonBlocking);
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  // errno says why not.
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  // Reads until the end of the file or of the buffer. Returns the bytes read; nothing on an
  // error, and errno says which.
  std::optional<std::size_t> read(std::span<char> buffer) const;

 private:
  int descriptor_;
};

}  // namespace backedpipe::config
