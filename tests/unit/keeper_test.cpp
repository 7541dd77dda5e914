// What the keeper hears at a real socket, and what a process finds of it at its start.
#include "net/keep/keeper.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "net/keep/kept_descriptors.hpp"
#include "net/listen/passed_sockets.hpp"

namespace backedpipe {
namespace {

// The other end of NOTIFY_SOCKET. Keeps what it is sent.
class Manager {
 public:
  struct Message {
    std::string text;
    std::vector<int> descriptors;
  };

  Manager() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = "@backedpipe-keeper-" + std::to_string(::getpid());
    name.copy(address.sun_path, name.size());
    address.sun_path[0] = '\0';
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ::setenv("FDSTORE", "512", 1);
  }
  ~Manager() {
    for (const int descriptor : received_)
      ::close(descriptor);
    ::close(socket_);
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("FDSTORE");
  }

  std::vector<Message> heard() {
    std::vector<Message> messages;
    while (true) {
      char text[4096];
      iovec piece{text, sizeof text};
      alignas(cmsghdr) char control[CMSG_SPACE(NotifySocket::kMostDescriptors * sizeof(int))];
      msghdr header{};
      header.msg_iov = &piece;
      header.msg_iovlen = 1;
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      const ssize_t size = ::recvmsg(socket_, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (size < 0) return messages;
      EXPECT_EQ(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
      Message& message = messages.emplace_back();
      message.text.assign(text, static_cast<std::size_t>(size));
      const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
      if (rights == nullptr) continue;
      EXPECT_EQ(rights->cmsg_type, SCM_RIGHTS);
      message.descriptors.resize((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(message.descriptors.data(), CMSG_DATA(rights),
                  message.descriptors.size() * sizeof(int));
      received_.insert(received_.end(), message.descriptors.begin(), message.descriptors.end());
    }
  }

 private:
  int socket_ = -1;
  std::vector<int> received_;
};

ino_t inode_of(int descriptor) {
  struct stat status {};
  EXPECT_EQ(::fstat(descriptor, &status), 0);
  return status.st_ino;
}

bool is_open(int descriptor) {
  return ::fcntl(descriptor, F_GETFD) >= 0;
}

struct Pair {
  Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0); }
  ~Pair() {
    for (const int end : ends)
      ::close(end);
  }
  int ends[2];
};

TEST(KeeperTest, HandsDescriptorsOverUnderAName) {
  Manager manager;
  auto keeper = Keeper::from_environment();
  ASSERT_TRUE(keeper) << keeper.error();
  EXPECT_EQ(keeper->most(), 512U);
  const Pair pair;
  EXPECT_TRUE(keeper->keep("backedpipe-vault", pair.ends));
  const auto heard = manager.heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].text, "FDSTORE=1\nFDPOLL=0\nFDNAME=backedpipe-vault");
  ASSERT_EQ(heard[0].descriptors.size(), 2U);
  EXPECT_EQ(inode_of(heard[0].descriptors[0]), inode_of(pair.ends[0]));
  EXPECT_EQ(inode_of(heard[0].descriptors[1]), inode_of(pair.ends[1]));
}

TEST(KeeperTest, DropsAName) {
  Manager manager;
  auto keeper = Keeper::from_environment();
  ASSERT_TRUE(keeper) << keeper.error();
  EXPECT_TRUE(keeper->drop("backedpipe-ledger-1"));
  const auto heard = manager.heard();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].text, "FDSTOREREMOVE=1\nFDNAME=backedpipe-ledger-1");
  EXPECT_TRUE(heard[0].descriptors.empty());
}

TEST(KeeperTest, SplitsWhatDoesNotFitIntoOneMessage) {
  Manager manager;
  auto keeper = Keeper::from_environment();
  ASSERT_TRUE(keeper) << keeper.error();
  const Pair pair;
  EXPECT_TRUE(
      keeper->keep("many", std::vector<int>(NotifySocket::kMostDescriptors + 1, pair.ends[0])));
  const auto heard = manager.heard();
  ASSERT_EQ(heard.size(), 2U);
  EXPECT_EQ(heard[0].descriptors.size(), NotifySocket::kMostDescriptors);
  EXPECT_EQ(heard[1].descriptors.size(), 1U);
  EXPECT_EQ(heard[1].text, heard[0].text);
}

TEST(KeeperTest, SaysWhenTheQueueIsFullInsteadOfWaiting) {
  Manager manager;
  auto keeper = Keeper::from_environment();
  ASSERT_TRUE(keeper) << keeper.error();
  const Pair pair;
  // Nobody reads: the queue of the socket is full after some hundred messages at most.
  int sent = 0;
  while (keeper->keep("one", pair.ends) && sent < 5000)
    ++sent;
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, 5000);
  EXPECT_FALSE(keeper->drop("one"));
  manager.heard();
  EXPECT_TRUE(keeper->drop("one"));
}

TEST(KeeperTest, SendsNothingUnderANameThatTheManagerWouldRefuse) {
  Manager manager;
  auto keeper = Keeper::from_environment();
  ASSERT_TRUE(keeper) << keeper.error();
  const Pair pair;
  for (const std::string& name :
       {std::string(), std::string("a:b"), std::string("a\nFDNAME=b"), std::string("\x7f"),
        std::string("\xc3\xa4"), std::string("\0", 1), std::string(256, 'a')}) {
    EXPECT_FALSE(keeper->keep(name, pair.ends)) << name;
    EXPECT_FALSE(keeper->drop(name)) << name;
  }
  EXPECT_TRUE(manager.heard().empty());
  EXPECT_TRUE(keeper->keep(std::string(255, 'a'), pair.ends));
}

TEST(KeeperTest, ThereIsNoneUnlessSomebodyKeepsDescriptorsAndTheReasonSaysWhy) {
  const auto why = [] {
    const auto keeper = Keeper::from_environment();
    return keeper ? "there is one" : keeper.error();
  };
  const std::string nobody = "no service manager or supervisor keeps descriptors: ";
  const Manager manager;
  for (const char* most : {"0", "many", "-1", "1 "}) {
    ::setenv("FDSTORE", most, 1);
    EXPECT_EQ(why(), nobody + "FDSTORE is \"" + most + "\", expected a number above 0");
  }
  ::unsetenv("FDSTORE");
  EXPECT_EQ(why(), nobody + "FDSTORE is not set");
  ::setenv("FDSTORE", "1", 1);
  EXPECT_EQ(why(), "there is one");
  ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  EXPECT_EQ(why(), nobody + "NOTIFY_SOCKET /nowhere/at/all: No such file or directory");
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(why(), nobody + "NOTIFY_SOCKET is not set");
}

// -- at the start of the next process

int listening_socket() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::listen(socket, 1), 0);
  return socket;
}

int plain_descriptor() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

TEST(KeptDescriptorsTest, AreTakenOutOfWhatTheManagerOpened) {
  std::vector<PassedDescriptor> passed{{"ssh", listening_socket()},
                                       {"backedpipe-vault", plain_descriptor()},
                                       {"kept-ssh", listening_socket()},
                                       {"accept-7700", listening_socket()},
                                       {"backedpipe-vault", plain_descriptor()}};
  const std::vector<PassedDescriptor> all = passed;
  KeptDescriptors kept = KeptDescriptors::out_of(passed);
  PassedSockets sockets(passed);
  EXPECT_EQ(sockets.take("ssh"), all[0].descriptor);
  EXPECT_EQ(sockets.take("accept-7700"), all[3].descriptor);
  sockets.require_all_taken();
  EXPECT_EQ(kept.take(KeptDescriptors::name_of_listener("ssh")),
            std::vector<int>{all[2].descriptor});
  EXPECT_EQ(kept.take("backedpipe-vault"),
            (std::vector<int>{all[1].descriptor, all[4].descriptor}));
  EXPECT_TRUE(kept.take("backedpipe-vault").empty()) << "each is given away once";
  for (const PassedDescriptor& one : all)
    ::close(one.descriptor);
}

TEST(KeptDescriptorsTest, ThatNobodyTakesAreClosedAndNamed) {
  std::vector<PassedDescriptor> passed{{"kept-web", listening_socket()},
                                       {"kept-web", listening_socket()},
                                       {"kept-ssh", listening_socket()},
                                       {"backedpipe-ledger-3", plain_descriptor()}};
  const std::vector<PassedDescriptor> all = passed;
  {
    KeptDescriptors kept = KeptDescriptors::out_of(passed);
    EXPECT_TRUE(passed.empty());
    EXPECT_EQ(kept.take("kept-ssh").size(), 1U);
    EXPECT_EQ(kept.close_rest(), (std::vector<std::string>{"backedpipe-ledger-3", "kept-web"}));
    EXPECT_TRUE(kept.close_rest().empty());
  }
  EXPECT_FALSE(is_open(all[0].descriptor));
  EXPECT_FALSE(is_open(all[1].descriptor));
  EXPECT_TRUE(is_open(all[2].descriptor));
  EXPECT_FALSE(is_open(all[3].descriptor));
  ::close(all[2].descriptor);
}

TEST(KeptDescriptorsTest, AreClosedWhenNobodyAsksForThem) {
  std::vector<PassedDescriptor> passed{{"backedpipe-vault", plain_descriptor()}};
  const int descriptor = passed.front().descriptor;
  { const KeptDescriptors kept = KeptDescriptors::out_of(passed); }
  EXPECT_FALSE(is_open(descriptor));
}

TEST(PassedSocketsTest, MustListen) {
  const PassedDescriptor plain{"ssh", plain_descriptor()};
  try {
    const PassedSockets sockets({plain});
    ADD_FAILURE() << "took a file";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("\"ssh\""), std::string::npos) << error.what();
  }
  ::close(plain.descriptor);
}

class PassedDescriptorsTest : public testing::Test {
 protected:
  ~PassedDescriptorsTest() override {
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
      ::unsetenv(name);
  }
  static void say(const std::string& pid, const std::string& count, const std::string& names) {
    ::setenv("LISTEN_PID", pid.c_str(), 1);
    ::setenv("LISTEN_FDS", count.c_str(), 1);
    ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
  }
};

TEST_F(PassedDescriptorsTest, AreNamedInTheirOrder) {
  // From 3 on there must be open ones, whatever the test's own process has.
  std::vector<int> opened;
  while (opened.empty() || opened.back() < 6)
    opened.push_back(::open("/dev/null", O_RDONLY));
  say(std::to_string(::getpid()), "3", "one:two");
  const auto passed = passed_descriptors();
  ASSERT_EQ(passed.size(), 3U);
  EXPECT_EQ(passed[0].name, "one");
  EXPECT_EQ(passed[1].name, "two");
  EXPECT_EQ(passed[2].name, "");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(passed[static_cast<std::size_t>(i)].descriptor, 3 + i);
    EXPECT_EQ(::fcntl(3 + i, F_GETFD), FD_CLOEXEC);
  }
  for (const int descriptor : opened)
    ::close(descriptor);
}

TEST_F(PassedDescriptorsTest, OfAnotherProcessAreLeftAlone) {
  say("1", "1", "one");
  EXPECT_TRUE(passed_descriptors().empty());
}

TEST_F(PassedDescriptorsTest, ThatAreNotOpenAreAnError) {
  say(std::to_string(::getpid()), "18446744073709551615", "");
  EXPECT_THROW(passed_descriptors(), std::runtime_error);
}

}  // namespace
}  // namespace backedpipe
