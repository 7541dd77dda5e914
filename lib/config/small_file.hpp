// The text of key and certificate files: small files that are read whole, some of them secret.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "config/checked.hpp"
#include "config/config_error.hpp"

namespace backedpipe {

// Text that may be secret. Its memory has a fixed size, so that growth leaves no copies, and is
// overwritten at the end. Can be moved, but not copied.
class FileText {
 public:
  explicit FileText(std::size_t capacity_bytes)
      : bytes_(std::make_unique<char[]>(capacity_bytes)), capacity_(capacity_bytes) {}
  FileText(FileText&&) noexcept = default;
  FileText& operator=(FileText&&) = delete;
  ~FileText();

  std::span<char> buffer() { return {bytes_.get(), capacity_}; }
  void set_size(std::size_t size_bytes) { size_ = size_bytes; }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_;
  std::size_t size_ = 0;
};

// Reads a key file. Refuses a file that is not regular, is larger than 1 MiB, belongs to another
// user (root excepted), or can be read or written by group or others. The checks are made on the
// opened file.
Checked<FileText, ConfigErrors> load_secret_file(const std::string& path);

// Reads a file that holds no secret; `kind` is for messages, such as "CA file". Refuses a file that
// is not regular or is larger than 1 MiB.
Checked<FileText, ConfigErrors> load_public_file(const std::string& path, std::string_view kind);

}  // namespace backedpipe
