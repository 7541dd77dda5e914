#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "net/keep/memfd_arena.hpp"

// Linux 6.3: the file can never be executed. Systems can be set to refuse memory files without it
// (vm.memfd_noexec). The C library's headers may be older.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace backedpipe {
namespace {

[[noreturn]] void fail(int error) {
  throw std::system_error(error, std::generic_category(), "cannot make a file in memory");
}

int make(const std::string& name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int descriptor = ::memfd_create(name.c_str(), kFlags | MFD_NOEXEC_SEAL);
  if (descriptor >= 0 || errno != EINVAL) return descriptor;
  return ::memfd_create(name.c_str(), kFlags);
}

std::size_t in_whole_pages(std::size_t size_bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (size_bytes > std::numeric_limits<std::size_t>::max() - page) fail(EFBIG);
  return (size_bytes + page - 1) / page * page;
}

// A larger file would be answered with a signal that ends the process (SIGXFSZ).
bool is_allowed_to_have(std::size_t size_bytes) {
  rlimit limit{};
  return ::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur >= size_bytes;
}

bool is_on_tmpfs(int descriptor) {
  struct statfs system {};
  return ::fstatfs(descriptor, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

}  // namespace

MemfdArena::MemfdArena(const std::string& name, std::size_t size_bytes) {
  const std::size_t size = in_whole_pages(size_bytes);
  if (!is_allowed_to_have(size)) fail(EFBIG);
  descriptor_ = make(name);
  if (descriptor_ < 0) fail(errno);
  void* mapped = MAP_FAILED;
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) == 0 &&
      ::fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    mapped =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor_, 0);
  }
  if (mapped == MAP_FAILED) {
    const int error = errno;
    ::close(descriptor_);
    fail(error);
  }
  bytes_ = {static_cast<std::byte*>(mapped), size};
}

MemfdArena::~MemfdArena() {
  ::munmap(bytes_.data(), bytes_.size());
  ::close(descriptor_);
}

void MemfdArena::discard(std::span<std::byte> part) {
  // MADV_DONTNEED would only forget this mapping's pages, the file would keep them. The same as
  // fallocate(FALLOC_FL_PUNCH_HOLE), as fast, and without a descriptor. It cannot fail for pages of
  // the mapping. If it did, their memory would only stay in use.
  ::madvise(part.data(), part.size(), MADV_REMOVE);
}

Checked<MappedMemfd> MappedMemfd::map(int descriptor) {
  using Result = Checked<MappedMemfd>;
  struct stat status {};
  // A file of huge pages (hugetlbfs) can have seals too, but the system may have no page for a part
  // that was never written, and reading it would end this process.
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || !is_on_tmpfs(descriptor)) {
    return Result::failure("expected a file in memory (memfd)");
  }
  // If it could shrink, reading what is no longer there would end this process (SIGBUS).
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Result::failure("expected a memfd that is sealed against shrinking");
  }
  // After the seals were read: only now the size stays.
  if (::fstat(descriptor, &status) != 0 || status.st_size <= 0) {
    return Result::failure("expected a memfd that is not empty");
  }
  if (!std::in_range<std::size_t>(status.st_size)) {
    return Result::failure("expected a memfd that fits into the address space");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  const void* const mapped =
      ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (mapped == MAP_FAILED) {
    return Result::failure(std::string("expected a memfd that can be mapped (") +
                           std::strerror(errno) + ")");
  }
  return MappedMemfd({static_cast<const std::byte*>(mapped), size});
}

MappedMemfd::~MappedMemfd() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedMemfd::MappedMemfd(MappedMemfd&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

}  // namespace backedpipe
