// AnonymousArena: the memory of a segment pool, an anonymous mapping. Pages take memory only once
// they are touched, so the size is a cap and not a cost. Part of a WorkerContext.
#pragma once

#include <cstddef>
#include <span>

namespace backedpipe {

class AnonymousArena {
 public:
  // Rounded up to whole pages. Throws std::system_error when the address space cannot be reserved.
  explicit AnonymousArena(std::size_t size_bytes);
  ~AnonymousArena();
  AnonymousArena(const AnonymousArena&) = delete;
  AnonymousArena& operator=(const AnonymousArena&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  // Gives whole pages back to the system; they read as zeros when they are touched again.
  static void discard(std::span<std::byte> part);

 private:
  std::span<std::byte> bytes_;
};

}  // namespace backedpipe
