// MemfdArena: memory that outlives its process. It is a file without a name in any file system
// (memfd_create(2)), mapped shared: whoever else has its descriptor still has the bytes after this
// process was killed, every store included. MappedMemfd is how the next process reads them.
//
// Pages take memory only once they are touched, as in an AnonymousArena: the size is a cap and not
// a cost. One difference: where the system promises no more memory than it has
// (vm.overcommit_memory=2), running out of it shows when a page is touched, as SIGBUS.
//
// Each has one owner. The bytes may be used on any thread; nothing here has a lock.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "config/checked.hpp"

namespace backedpipe {

class MemfdArena {
 public:
  // `name` is what /proc shows. The size is rounded up to whole pages and can never change: the
  // descriptor is sealed, so nobody who gets it can truncate the file under us. Throws
  // std::system_error when the system has no memory files or no room for this size.
  MemfdArena(const std::string& name, std::size_t size_bytes);
  ~MemfdArena();
  MemfdArena(const MemfdArena&) = delete;
  MemfdArena& operator=(const MemfdArena&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  // Stays the arena's. A duplicate keeps the bytes.
  int descriptor() const { return descriptor_; }
  // Gives whole pages back to the system, in every process that has mapped them; they read as zeros
  // when they are touched again.
  static void discard(std::span<std::byte> part);

 private:
  int descriptor_;
  std::span<std::byte> bytes_;
};

// The bytes of a memfd that another process has made, to read. That process may still be alive and
// write to them, so a reader copies a value before it checks it. To read a page that was never
// written takes memory for it.
class MappedMemfd {
 public:
  // `descriptor` stays the caller's and is not needed afterwards. The error starts with "expected".
  static Checked<MappedMemfd> map(int descriptor);
  ~MappedMemfd();
  MappedMemfd(MappedMemfd&& other) noexcept;
  MappedMemfd& operator=(MappedMemfd&&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedMemfd(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace backedpipe
