#include "net/keep/memfd_arena.hpp"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/child_process.hpp"

namespace backedpipe::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// The memory that the file takes.
std::size_t used_bytes(int descriptor) {
  struct stat status {};
  EXPECT_EQ(::fstat(descriptor, &status), 0);
  return static_cast<std::size_t>(status.st_blocks) * 512;
}

void fill(std::span<std::byte> bytes, int value) {
  std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(value));
}

bool are_all(std::span<const std::byte> bytes, int value) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [&](std::byte byte) { return byte == static_cast<std::byte>(value); });
}

TEST(MemfdArena, TakesMemoryOnlyForPagesThatAreTouched) {
  const MemfdArena arena("test", 64 * 1024 * kMiB);
  ASSERT_EQ(arena.bytes().size(), 64 * 1024 * kMiB);
  EXPECT_EQ(used_bytes(arena.descriptor()), 0U);
  fill(arena.bytes().last(kMiB), 1);
  EXPECT_EQ(used_bytes(arena.descriptor()), kMiB);
}

TEST(MemfdArena, IsRoundedUpToWholePages) {
  const MemfdArena arena("test", 1);
  EXPECT_EQ(arena.bytes().size(), static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  fill(arena.bytes(), 1);
}

TEST(MemfdArena, CannotBeResizedByAnybody) {
  const MemfdArena arena("test", kMiB);
  EXPECT_NE(::ftruncate(arena.descriptor(), 0), 0);
  EXPECT_NE(::ftruncate(arena.descriptor(), 2 * kMiB), 0);
  EXPECT_NE(::fcntl(arena.descriptor(), F_ADD_SEALS, F_SEAL_WRITE), 0) << "seals are sealed too";
}

TEST(MemfdArena, IsNotPassedToProgramsByAccident) {
  const MemfdArena arena("test", kMiB);
  EXPECT_EQ(::fcntl(arena.descriptor(), F_GETFD), FD_CLOEXEC);
}

TEST(MemfdArena, DiscardedPagesTakeNoMemoryAndReadAsZeros) {
  const MemfdArena arena("test", 4 * kMiB);
  fill(arena.bytes(), 7);
  ASSERT_EQ(used_bytes(arena.descriptor()), 4 * kMiB);
  MemfdArena::discard(arena.bytes().subspan(kMiB, 2 * kMiB));
  EXPECT_EQ(used_bytes(arena.descriptor()), 2 * kMiB);
  EXPECT_TRUE(are_all(arena.bytes().first(kMiB), 7));
  EXPECT_TRUE(are_all(arena.bytes().subspan(kMiB, 2 * kMiB), 0));
  EXPECT_TRUE(are_all(arena.bytes().last(kMiB), 7));
}

TEST(MemfdArena, DiscardingCountsForThoseWhoReadItToo) {
  const MemfdArena arena("test", 2 * kMiB);
  fill(arena.bytes(), 7);
  const auto reader = MappedMemfd::map(arena.descriptor());
  ASSERT_TRUE(reader);
  ASSERT_TRUE(are_all(reader->bytes(), 7));
  MemfdArena::discard(arena.bytes().first(kMiB));
  EXPECT_EQ(used_bytes(arena.descriptor()), kMiB);
  EXPECT_TRUE(are_all(reader->bytes().first(kMiB), 0));
}

TEST(MemfdArena, IsKeptByADuplicateOfItsDescriptor) {
  int duplicate = -1;
  {
    const MemfdArena arena("test", kMiB);
    fill(arena.bytes(), 1);
    duplicate = ::dup(arena.descriptor());
  }
  const auto kept = MappedMemfd::map(duplicate);
  ASSERT_TRUE(kept);
  EXPECT_TRUE(are_all(kept->bytes(), 1));
  ::close(duplicate);
}

TEST(MemfdArena, SaysWhyItCannotBeMade) {
  EXPECT_THROW(MemfdArena("test", 0), std::system_error);
  EXPECT_THROW(MemfdArena("test", ~std::size_t{0}), std::system_error);
  EXPECT_THROW(MemfdArena("test", ~std::size_t{0} >> 1), std::system_error);
  EXPECT_THROW(MemfdArena(std::string(300, 'x'), kMiB), std::system_error);
}

TEST(MemfdArena, DoesNotDieOfALimitForFiles) {
  ChildProcess child([](auto&) {
    const rlimit limit{.rlim_cur = kMiB, .rlim_max = kMiB};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_THROW(MemfdArena("test", 2 * kMiB), std::system_error);
    const MemfdArena small("test", kMiB);
  });
  EXPECT_TRUE(child.wait());
}

TEST(MappedMemfd, HasWhatAKilledProcessHasWritten) {
  ChildProcess child([](const auto& report) {
    const MemfdArena arena("test", 4 * kMiB);
    fill(arena.bytes(), 5);
    report(arena.descriptor());
    for (int value = 0;; ++value) {
      fill(arena.bytes().first(kMiB), value);
      report(value);
    }
  });
  const std::string name = std::to_string(child.next_report());
  const int descriptor =
      ::open(("/proc/" + std::to_string(child.pid()) + "/fd/" + name).c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  ASSERT_EQ(child.next_report(), 0);
  child.kill();
  std::int64_t last = 0;
  for (std::int64_t value = 0; value >= 0; value = child.next_report())
    last = value;
  const auto mapped = MappedMemfd::map(descriptor);
  ::close(descriptor);
  ASSERT_TRUE(mapped);
  ASSERT_EQ(mapped->bytes().size(), 4 * kMiB);
  // The next value may have been on its way.
  const auto now = static_cast<std::byte>(last), next = static_cast<std::byte>(last + 1);
  const auto front = mapped->bytes().first(kMiB);
  EXPECT_TRUE(std::all_of(front.begin(), front.end(),
                          [&](std::byte byte) { return byte == now || byte == next; }));
  EXPECT_TRUE(are_all(mapped->bytes().last(3 * kMiB), 5));
}

TEST(MappedMemfd, IsOfTheSizeOfTheFile) {
  const int descriptor = ::memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(descriptor, 5000), 0);
  ASSERT_EQ(::fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const auto mapped = MappedMemfd::map(descriptor);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->bytes().size(), 5000U);
  EXPECT_TRUE(are_all(mapped->bytes(), 0));
  ::close(descriptor);
}

// What map() says about a descriptor, which is closed.
std::string error_of(int descriptor) {
  const auto mapped = MappedMemfd::map(descriptor);
  ::close(descriptor);
  return mapped ? "" : mapped.error();
}

TEST(MappedMemfd, RefusesAFileThatCouldShrinkUnderIt) {
  for (const int seals : {0, F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_SEAL}) {
    const int descriptor = ::memfd_create("test", MFD_ALLOW_SEALING);
    ASSERT_EQ(::ftruncate(descriptor, 4096), 0);
    ASSERT_EQ(::fcntl(descriptor, F_ADD_SEALS, seals), 0);
    EXPECT_EQ(error_of(descriptor), "expected a memfd that is sealed against shrinking");
  }
}

TEST(MappedMemfd, RefusesAnEmptyFile) {
  const int descriptor = ::memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(::fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_EQ(error_of(descriptor), "expected a memfd that is not empty");
}

TEST(MappedMemfd, RefusesAFileThatItMayNotRead) {
  const MemfdArena arena("test", kMiB);
  const std::string name = "/proc/self/fd/" + std::to_string(arena.descriptor());
  EXPECT_EQ(error_of(::open(name.c_str(), O_WRONLY)),
            "expected a memfd that can be mapped (Permission denied)");
}

TEST(MappedMemfd, RefusesWhatIsNoMemfd) {
  const std::string error = "expected a file in memory (memfd)";
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(error_of(ends[0]), error);
  EXPECT_EQ(error_of(ends[1]), error);
  EXPECT_EQ(error_of(::socket(AF_INET, SOCK_STREAM, 0)), error);
  EXPECT_EQ(error_of(::open("/dev/zero", O_RDWR)), error);
  EXPECT_EQ(error_of(::open("/", O_RDONLY)), error);
  EXPECT_EQ(error_of(-1), error);
  EXPECT_NE(error_of(::open("/proc/self/exe", O_RDONLY)), "");
  char path[] = "/dev/shm/memfd_test_XXXXXX";  // on tmpfs, and has no seals
  const int on_tmpfs = ::mkstemp(path);
  ASSERT_GE(on_tmpfs, 0);
  ::unlink(path);
  ASSERT_EQ(::ftruncate(on_tmpfs, 4096), 0);
  EXPECT_NE(error_of(on_tmpfs), "");
}

}  // namespace
}  // namespace backedpipe::test
