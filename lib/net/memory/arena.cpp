#include "net/memory/arena.hpp"

#include <cerrno>
#include <sys/mman.h>
#include <system_error>

namespace backedpipe {

AnonymousArena::AnonymousArena(std::size_t size_bytes) {
  void* const mapped = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "cannot reserve max_memory");
  }
  bytes_ = {static_cast<std::byte*>(mapped), size_bytes};
}

AnonymousArena::~AnonymousArena() {
  ::munmap(bytes_.data(), bytes_.size());
}

void AnonymousArena::discard(std::span<std::byte> part) {
  // This cannot fail for pages of the mapping. If it did, their memory would only stay in use.
  ::madvise(part.data(), part.size(), MADV_DONTNEED);
}

}  // namespace backedpipe
