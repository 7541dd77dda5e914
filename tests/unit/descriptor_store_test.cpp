// What a supervisor keeps for its child, with the child's own end of the protocol.
#include "daemon/descriptor_store.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "net/keep/keeper.hpp"

namespace backedpipe {
namespace {

using Names = std::vector<std::string>;

int memory_file() {
  return ::memfd_create("test", MFD_CLOEXEC);
}

ino_t inode_of(int descriptor) {
  struct stat status {};
  EXPECT_EQ(::fstat(descriptor, &status), 0);
  return status.st_ino;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// This process is the supervisor and the child.
class DescriptorStoreTest : public testing::Test {
 protected:
  DescriptorStoreTest() { ::setenv("NOTIFY_SOCKET", store.address().c_str(), 1); }
  ~DescriptorStoreTest() override {
    ::unsetenv("NOTIFY_SOCKET");
    for (const int file : files)
      ::close(file);
  }

  int file() { return files.emplace_back(memory_file()); }

  void say(const std::string& text, const std::vector<int>& descriptors = {}) {
    const NotifySocket socket(store.address());
    ASSERT_TRUE(socket.send(text, NotifySocket::Wait::no, descriptors));
  }
  void keep(const std::string& name, const std::vector<int>& descriptors) {
    say("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, descriptors);
  }
  // The texts that have come.
  Names receive(pid_t child = ::getpid()) {
    Names texts;
    store.receive(child, [&texts](std::string_view text) { texts.emplace_back(text); });
    return texts;
  }
  Names names() const {
    Names names;
    for (const PassedDescriptor& each : store.all())
      names.push_back(each.name);
    return names;
  }

  DescriptorStore store{std::vector<PassedDescriptor>{}};
  std::vector<int> files;
};

TEST_F(DescriptorStoreTest, KeepsWhatTheKeeperOfTheChildHandsOver) {
  ::setenv("FDSTORE", std::to_string(DescriptorStore::kMost).c_str(), 1);
  const auto keeper = Keeper::from_environment();
  ::unsetenv("FDSTORE");
  ASSERT_TRUE(keeper) << keeper.error();
  const std::vector<int> two{file(), file()};
  EXPECT_TRUE(keeper->keep("backedpipe-vault", two));
  EXPECT_TRUE(keeper->keep("kept-ssh", std::vector<int>{file()}));
  EXPECT_EQ(receive().size(), 2U);
  EXPECT_EQ(names(), (Names{"backedpipe-vault", "backedpipe-vault", "kept-ssh"}));
  const auto all = store.all();
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(inode_of(all[i].descriptor), inode_of(files[i]));
    EXPECT_EQ(::fcntl(all[i].descriptor, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_TRUE(keeper->drop("backedpipe-vault"));
  receive();
  EXPECT_EQ(names(), Names{"kept-ssh"});
}

TEST_F(DescriptorStoreTest, PassesOnWhatTheChildReports) {
  say("READY=1\nSTATUS=two sessions");
  say("WATCHDOG=1");
  EXPECT_EQ(receive(), (Names{"READY=1\nSTATUS=two sessions", "WATCHDOG=1"}));
  EXPECT_TRUE(receive().empty());
}

TEST_F(DescriptorStoreTest, IgnoresOtherProcessesThanTheChild) {
  const auto before = open_descriptors();
  for (const pid_t child : {::getpid() + 1, pid_t{0}}) {
    keep("stranger", {STDIN_FILENO, STDIN_FILENO});
    say("READY=1");
    EXPECT_TRUE(receive(child).empty());
  }
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(open_descriptors(), before) << "what a stranger sends is closed";
}

TEST_F(DescriptorStoreTest, KeepsNothingTwice) {
  const int one = file();
  keep("first", {one, one});
  keep("second", {one});
  receive();
  EXPECT_EQ(names(), Names{"first"});
}

TEST_F(DescriptorStoreTest, KeepsNoMoreThanItSays) {
  const auto before = open_descriptors();
  for (std::size_t i = 0; i < DescriptorStore::kMost + 10; ++i) {
    const int one = memory_file();
    keep("many", {one});
    ::close(one);
    receive();
  }
  EXPECT_EQ(names().size(), DescriptorStore::kMost);
  EXPECT_EQ(open_descriptors() - before, std::ptrdiff_t{DescriptorStore::kMost});
  say("FDSTOREREMOVE=1\nFDNAME=many");
  receive();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(DescriptorStoreTest, KeepsNoMoreThanFitsIntoTheEnvironment) {
  const std::string longest(255, 'n');
  for (std::size_t i = 0; i < DescriptorStore::kMost; ++i) {
    const int one = memory_file();
    keep(longest, {one});
    ::close(one);
    receive();
  }
  EXPECT_EQ(names().size(), DescriptorStore::kMostNameBytes / (longest.size() + 1));
}

TEST_F(DescriptorStoreTest, IgnoresWhatIsNoProperMessage) {
  const int one = file();
  const auto before = open_descriptors();
  for (const char* text :
       {"", "FDSTORE", "FDSTORE=", "FDSTORE=2\nFDNAME=x", "XFDSTORE=1", "FDNAME=x",
        "FDSTORE=1\nFDNAME=a:b", "FDSTORE=1\nFDNAME=\x01", "FDSTORE=1\nFDNAME=\xff"}) {
    say(text, {one});
    receive();
  }
  say("FDSTORE=1\nFDNAME=" + std::string(256, 'n'), {one});
  say("FDSTORE=1\nFDNAME=x\n" + std::string(5000, '\n'), {one});
  say("FDSTORE=1\nFDNAME=x");
  receive();
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(open_descriptors(), before);
  keep("x", {one});
  say("FDSTOREREMOVE=1\nFDNAME=y");
  say("FDSTOREREMOVE=1");
  receive();
  EXPECT_EQ(names(), Names{"x"});
}

TEST_F(DescriptorStoreTest, TheChildCannotDropWhatTheSupervisorWasGiven) {
  const std::vector<PassedDescriptor> passed{{"ssh", memory_file()}, {"", memory_file()}};
  DescriptorStore given(passed);
  const NotifySocket socket(given.address());
  const int one = file();
  socket.send("FDSTORE=1\nFDNAME=ssh", NotifySocket::Wait::no, std::vector<int>{one});
  socket.send("FDSTOREREMOVE=1\nFDNAME=ssh", NotifySocket::Wait::no);
  given.receive(::getpid(), [](std::string_view) {});
  const auto all = given.all();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "ssh");
  EXPECT_NE(inode_of(all[0].descriptor), inode_of(one));
}

// What release() describes, with other numbers: the old store closes its own.
std::string duplicated(const std::string& released) {
  std::string text;
  std::istringstream lines(released);
  int descriptor = -1;
  for (std::string rest; lines >> descriptor && std::getline(lines, rest);)
    text += std::to_string(::dup(descriptor)) + rest + '\n';
  return text;
}

TEST_F(DescriptorStoreTest, DescribesEverythingForTheNextVersion) {
  const std::vector<PassedDescriptor> given{{"ssh", memory_file()}};
  std::optional<DescriptorStore> old(given);
  const std::string address = old->address();
  const NotifySocket socket(address);
  const std::vector<int> one{file()};
  socket.send("FDSTORE=1\nFDNAME=with a blank", NotifySocket::Wait::no, one);
  old->receive(::getpid(), [](std::string_view) {});
  socket.send("STATUS=sent to the old one", NotifySocket::Wait::no);
  const std::string released = old->release();
  EXPECT_EQ(::fcntl(old->socket(), F_GETFD), 0);
  std::vector<ino_t> inodes;
  for (const PassedDescriptor& each : old->all()) {
    EXPECT_EQ(::fcntl(each.descriptor, F_GETFD), 0);
    inodes.push_back(inode_of(each.descriptor));
  }
  const std::string text = duplicated(released);
  old.reset();

  DescriptorStore next{std::string_view(text)};
  EXPECT_EQ(next.address(), address);
  Names texts;
  next.receive(::getpid(), [&texts](std::string_view each) { texts.emplace_back(each); });
  EXPECT_EQ(texts, Names{"STATUS=sent to the old one"});
  const auto all = next.all();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "ssh");
  EXPECT_EQ(all[1].name, "with a blank");
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(inode_of(all[i].descriptor), inodes[i]);
    EXPECT_EQ(::fcntl(all[i].descriptor, F_GETFD), FD_CLOEXEC);
  }
  socket.send("FDSTOREREMOVE=1\nFDNAME=ssh", NotifySocket::Wait::no);
  next.receive(::getpid(), [](std::string_view) {});
  EXPECT_EQ(next.all().size(), 2U) << "it still knows what it was given";
}

TEST_F(DescriptorStoreTest, ClosesEverythingOnExecutionAgainWhenThatHasFailed) {
  keep("x", {file()});
  receive();
  store.release();
  store.keep_closed();
  EXPECT_EQ(::fcntl(store.socket(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(store.all().front().descriptor, F_GETFD), FD_CLOEXEC);
}

TEST(ReleasedDescriptors, ThatAreNotInOrderAreRefused) {
  for (const std::string& text : {std::string(), std::string("x"), std::string("-1\n"),
                                  std::string("99999\n"), std::string("18446744073709551616\n")})
    EXPECT_THROW(DescriptorStore{std::string_view(text)}, std::runtime_error) << text;
}

}  // namespace
}  // namespace backedpipe
