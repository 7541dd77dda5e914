#include "net/keep/vault.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/sockios.h>
#include <set>
#include <string>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/child_process.hpp"
#include "tests/support/descriptors.hpp"

namespace backedpipe::test {
namespace {

Descriptor make_socket() {
  return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

std::vector<Descriptor> make_sockets(std::size_t count) {
  std::vector<Descriptor> sockets(count);
  std::generate(sockets.begin(), sockets.end(), make_socket);
  return sockets;
}

std::set<std::uint64_t> cookies_of(const std::vector<Descriptor>& sockets) {
  std::set<std::uint64_t> cookies;
  for (const Descriptor& socket : sockets)
    cookies.insert(cookie_of(socket.get()));
  return cookies;
}

// Has the two ends of a vault, as a service manager has them, and makes Vaults of them, as one
// process after the other does.
class VaultTest : public testing::Test {
 protected:
  VaultTest() : VaultTest(Vault::make_ends().value()) {}
  explicit VaultTest(const VaultEnds& ends) : put_(ends.put), take_(ends.take) {}

  VaultEnds duplicates() const {
    return {.put = ::fcntl(put_.get(), F_DUPFD_CLOEXEC, 0),
            .take = ::fcntl(take_.get(), F_DUPFD_CLOEXEC, 0)};
  }

  // What a next process would find.
  struct Found {
    std::set<std::uint64_t> cookies;
    std::size_t count = 0;
    bool complete = true;
  };
  Found look() const {
    Vault vault(duplicates());
    const Vault::Contents contents = vault.contents();
    Found found{.cookies = {}, .count = contents.sockets.size(), .complete = contents.complete};
    for (const Vault::Kept& kept : contents.sockets) {
      EXPECT_EQ(cookie_of(kept.descriptor), kept.cookie);
      found.cookies.insert(kept.cookie);
      ::close(kept.descriptor);
    }
    return found;
  }

  // Every message has one byte.
  int messages() const {
    int bytes = -1;
    EXPECT_EQ(::ioctl(take_.get(), SIOCINQ, &bytes), 0);
    return bytes;
  }

  // Sends a message that no Vault has made. True if the queue has taken it.
  bool send_raw(std::size_t bytes, const std::vector<int>& descriptors) const {
    std::string content(bytes, 'x');
    iovec piece{.iov_base = content.data(), .iov_len = bytes};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(253 * sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      const std::size_t size = descriptors.size() * sizeof(int);
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(size);
      cmsghdr* const part = CMSG_FIRSTHDR(&header);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(size);
      std::memcpy(CMSG_DATA(part), descriptors.data(), size);
    }
    return ::sendmsg(put_.get(), &header, MSG_DONTWAIT) == static_cast<ssize_t>(bytes);
  }

  Descriptor put_;
  Descriptor take_;
};

TEST_F(VaultTest, KeepsConnectionsOfAProcessThatIsKilled) {
  constexpr int kConnections = 200;
  const LoopbackListener listener;
  std::vector<Descriptor> peers;
  ChildProcess child([&](const auto& report) {
    Vault vault(duplicates());
    std::vector<Descriptor> accepted;
    for (int i = 0; i < kConnections; ++i) {
      accepted.push_back(listener.accept());
      ASSERT_TRUE(vault.put(accepted.back().get()));
      report(i);
    }
    ::pause();
  });
  for (int i = 0; i < kConnections; ++i) {
    peers.push_back(listener.dial());
    ASSERT_EQ(child.next_report(), i);
    ASSERT_EQ(::send(peers.back().get(), &i, sizeof i, 0), static_cast<ssize_t>(sizeof i));
  }
  child.kill();
  for (int i = 0; i < kConnections; ++i)
    ASSERT_EQ(::send(peers[static_cast<std::size_t>(i)].get(), "later", 5, 0), 5);

  Vault vault(duplicates());
  const Vault::Contents contents = vault.contents();
  EXPECT_TRUE(contents.complete);
  ASSERT_EQ(contents.sockets.size(), static_cast<std::size_t>(kConnections));
  std::set<int> numbers;
  for (const Vault::Kept& kept : contents.sockets) {
    const Descriptor socket(kept.descriptor);
    int number = -1;
    std::string later(5, '\0');
    ASSERT_EQ(::recv(socket.get(), &number, sizeof number, MSG_WAITALL), 4);
    ASSERT_EQ(::recv(socket.get(), later.data(), later.size(), MSG_WAITALL), 5);
    EXPECT_EQ(later, "later");
    numbers.insert(number);
    // And the other way.
    char answer = 0;
    ASSERT_EQ(::send(socket.get(), "!", 1, 0), 1);
    ASSERT_EQ(::recv(peers[static_cast<std::size_t>(number)].get(), &answer, 1, 0), 1);
  }
  EXPECT_EQ(numbers.size(), static_cast<std::size_t>(kConnections));
}

// The kernel looks for Unix sockets that nobody can reach any more. These can be reached.
TEST_F(VaultTest, KeepsUnixSocketsToo) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Descriptor near(pair[0]);
  const Descriptor far(pair[1]);
  ChildProcess child([&](const auto& report) {
    Vault vault(duplicates());
    ASSERT_TRUE(vault.put(near.get()));
    report(1);
    ::pause();
  });
  ASSERT_EQ(child.next_report(), 1);
  near.close();
  child.kill();
  {  // One that is inside itself makes the kernel look.
    Vault itself(Vault::make_ends().value());
    ASSERT_TRUE(itself.put(itself.ends().put));
    ASSERT_TRUE(itself.put(itself.ends().take));
  }
  ASSERT_EQ(::send(far.get(), "later", 5, 0), 5);
  Vault vault(duplicates());
  const Vault::Contents contents = vault.contents();
  ASSERT_EQ(contents.sockets.size(), 1U);
  const Descriptor kept(contents.sockets[0].descriptor);
  std::string later(5, '\0');
  EXPECT_EQ(::recv(kept.get(), later.data(), later.size(), MSG_DONTWAIT), 5);
  EXPECT_EQ(later, "later");
}

TEST_F(VaultTest, KeepsAsLongAsSomebodyHasItsEnds) {
  const LoopbackListener listener;
  TcpPair pair = connect_tcp(listener);
  {
    Vault vault(duplicates());
    ASSERT_TRUE(vault.put(pair.accepted.get()));
    pair.accepted.close();
  }
  EXPECT_FALSE(is_readable(pair.dialled));
  put_.close();
  EXPECT_FALSE(is_readable(pair.dialled));
  take_.close();
  char byte = 0;
  EXPECT_EQ(::recv(pair.dialled.get(), &byte, 1, 0), 0);
}

TEST_F(VaultTest, LooksWithoutTakingAnythingOut) {
  const auto sockets = make_sockets(20);
  Vault vault(duplicates());
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.put(socket.get()));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(look().cookies, cookies_of(sockets));
    EXPECT_EQ(messages(), 20);
  }
}

TEST_F(VaultTest, ClosesWhatIsForgottenWhenItIsCompacted) {
  const LoopbackListener listener;
  std::vector<TcpPair> pairs(10);
  Vault vault(duplicates());
  for (TcpPair& pair : pairs) {
    pair = connect_tcp(listener);
    ASSERT_TRUE(vault.put(pair.accepted.get()));
  }
  for (std::size_t i = 0; i < pairs.size(); i += 2) {
    vault.forget(pairs[i].accepted.get());
    pairs[i].accepted.close();
    EXPECT_FALSE(is_readable(pairs[i].dialled)) << "the vault still has it";
  }
  ASSERT_TRUE(vault.compact());
  std::set<std::uint64_t> living;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    char byte = 0;
    if (i % 2 == 0) {
      EXPECT_EQ(::recv(pairs[i].dialled.get(), &byte, 1, 0), 0);
    } else {
      EXPECT_FALSE(is_readable(pairs[i].dialled));
      living.insert(cookie_of(pairs[i].accepted.get()));
    }
  }
  EXPECT_EQ(look().cookies, living);
  EXPECT_EQ(messages(), 1);
}

TEST_F(VaultTest, IsEmptyOnceEverythingIsForgottenAndCompacted) {
  const auto sockets = make_sockets(300);
  Vault vault(duplicates());
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.put(socket.get()));
  for (const Descriptor& socket : sockets)
    vault.forget(socket.get());
  ASSERT_TRUE(vault.compact());
  EXPECT_EQ(messages(), 0);
  ASSERT_TRUE(vault.compact());
}

TEST_F(VaultTest, DoesNotFillUpWithWhatIsForgotten) {
  const auto living = make_sockets(100);
  Vault vault(duplicates());
  for (const Descriptor& socket : living)
    ASSERT_TRUE(vault.put(socket.get()));
  std::size_t most = 0;
  for (int i = 0; i < 3000; ++i) {
    const Descriptor socket = make_socket();
    ASSERT_TRUE(vault.put(socket.get()));
    vault.forget(socket.get());
    if (i % 100 == 99) most = std::max(most, look().count);
  }
  EXPECT_LE(most, 160U);
  const auto found = look().cookies;
  for (const std::uint64_t cookie : cookies_of(living))
    EXPECT_TRUE(found.contains(cookie));
}

TEST_F(VaultTest, HasRoomForMoreSocketsThanItsQueueHasForMessages) {
  int capacity = 0;
  while (send_raw(1, {}))
    ++capacity;
  std::string content(16, '\0');
  while (::recv(take_.get(), content.data(), content.size(), MSG_DONTWAIT) > 0)
    continue;
  auto sockets = make_sockets(600);
  ASSERT_LT(capacity, 600);
  const std::set<std::uint64_t> cookies = cookies_of(sockets);
  {
    Vault vault(duplicates());
    for (const Descriptor& socket : sockets)
      ASSERT_TRUE(vault.put(socket.get()));
    ASSERT_TRUE(vault.compact());
  }
  sockets.clear();  // to have descriptors for the same number again
  EXPECT_EQ(messages(), 3) << "253 sockets in each";
  EXPECT_EQ(look().cookies, cookies);
}

TEST_F(VaultTest, SaysThatAFullQueueTakesNothingAndUsesTheRoomThatItGets) {
  const auto old = make_sockets(10);
  const Descriptor another = make_socket();
  Vault vault(duplicates());
  for (const Descriptor& socket : old)
    ASSERT_TRUE(vault.put(socket.get()));
  while (send_raw(1, {}))
    continue;
  EXPECT_FALSE(vault.put(another.get()));
  EXPECT_FALSE(vault.compact()) << "what is alive cannot be sent anew";
  EXPECT_EQ(look().cookies, cookies_of(old));
  for (const Descriptor& socket : old)
    vault.forget(socket.get());
  ASSERT_TRUE(vault.put(another.get())) << "in the place of the dead ones";

  Vault next(duplicates());
  std::vector<Descriptor> kept;
  for (const Vault::Kept& one : next.contents().sockets) {
    kept.emplace_back(one.descriptor);
    if (one.cookie == cookie_of(another.get())) {
      ASSERT_TRUE(next.adopt(one.descriptor));
    }
  }
  ASSERT_TRUE(next.compact()) << "the other messages hold nothing";
  EXPECT_EQ(messages(), 1);
  EXPECT_EQ(look().cookies, std::set{cookie_of(another.get())});
}

TEST_F(VaultTest, GivesASocketThatIsInsideTwiceOnce) {
  const auto sockets = make_sockets(2);
  const Descriptor again(::dup(sockets[0].get()));
  Vault vault(duplicates());
  for (const int socket : {sockets[0].get(), sockets[1].get(), sockets[0].get(), again.get()})
    ASSERT_TRUE(vault.put(socket));
  const Found found = look();
  EXPECT_EQ(found.count, 2U);
  EXPECT_EQ(found.cookies, cookies_of(sockets));
}

TEST_F(VaultTest, ASocketThatIsPutTwiceIsInsideOnce) {
  const Descriptor socket = make_socket();
  Vault vault(duplicates());
  ASSERT_TRUE(vault.put(socket.get()));
  ASSERT_TRUE(vault.put(socket.get()));
  EXPECT_EQ(messages(), 1);
  vault.forget(socket.get());
  ASSERT_TRUE(vault.compact());
  EXPECT_EQ(messages(), 0);
}

TEST_F(VaultTest, IgnoresWhatItDoesNotHave) {
  Vault vault(duplicates());
  vault.forget(17);
  vault.forget(-1);
  EXPECT_FALSE(vault.put(-1));
  EXPECT_TRUE(vault.compact());
  EXPECT_EQ(messages(), 0);
}

TEST_F(VaultTest, IsNotStoppedByADescriptorThatWasClosedUnforgotten) {
  auto sockets = make_sockets(3);
  Vault vault(duplicates());
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.put(socket.get()));
  sockets.erase(sockets.begin() + 1);
  EXPECT_FALSE(vault.compact());
  EXPECT_TRUE(vault.compact());
  EXPECT_EQ(look().cookies, cookies_of(sockets));
}

// --- taking over

TEST_F(VaultTest, AdoptedSocketsStayInsideAndTheOthersAreClosed) {
  auto sockets = make_sockets(300);
  {
    Vault before(duplicates());
    for (const Descriptor& socket : sockets)
      ASSERT_TRUE(before.put(socket.get()));
  }
  const std::set<std::uint64_t> all = cookies_of(sockets);
  sockets.clear();

  Vault vault(duplicates());
  for (const Vault::Kept& kept : vault.contents().sockets)
    sockets.emplace_back(kept.descriptor);
  ASSERT_EQ(cookies_of(sockets), all);
  sockets.erase(sockets.begin() + 100, sockets.begin() + 250);
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.adopt(socket.get()));
  EXPECT_EQ(look().cookies, all) << "another process may have to take over now";
  ASSERT_TRUE(vault.compact());
  EXPECT_EQ(look().cookies, cookies_of(sockets));
  // They are like those that were put.
  for (const Descriptor& socket : sockets)
    vault.forget(socket.get());
  ASSERT_TRUE(vault.compact());
  EXPECT_EQ(messages(), 0);
}

TEST_F(VaultTest, TakesNothingOutWhileTheNextProcessTakesOver) {
  const auto sockets = make_sockets(100);
  {
    Vault before(duplicates());
    for (const Descriptor& socket : sockets)
      ASSERT_TRUE(before.put(socket.get()));
  }
  Vault vault(duplicates());
  std::vector<Descriptor> kept;
  for (const Vault::Kept& one : vault.contents().sockets)
    kept.emplace_back(one.descriptor);
  for (int i = 0; i < 200; ++i) {  // new sessions, which come and go
    const Descriptor socket = make_socket();
    ASSERT_TRUE(vault.put(socket.get()));
    vault.forget(socket.get());
  }
  EXPECT_FALSE(vault.put(-1)) << "and no room is made for it";
  const auto found = look().cookies;
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(found.contains(cookie_of(socket.get())));
  for (const Descriptor& socket : kept)
    EXPECT_TRUE(vault.adopt(socket.get()));
}

TEST_F(VaultTest, AdoptsOnlyWhatIsInside) {
  const auto sockets = make_sockets(2);
  {
    Vault before(duplicates());
    ASSERT_TRUE(before.put(sockets[0].get()));
  }
  Vault vault(duplicates());
  EXPECT_FALSE(vault.adopt(sockets[0].get())) << "it has not looked yet";
  const Descriptor kept(vault.contents().sockets.at(0).descriptor);
  EXPECT_FALSE(vault.adopt(sockets[1].get()));
  EXPECT_FALSE(vault.adopt(take_.get()));
  EXPECT_FALSE(vault.adopt(-1));
  EXPECT_TRUE(vault.adopt(kept.get()));
}

TEST_F(VaultTest, GivesWhatItCanWhenTheProcessMayHaveNoMoreDescriptors) {
  const auto sockets = make_sockets(300);
  Vault vault(duplicates());
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.put(socket.get()));
  ASSERT_TRUE(vault.compact());  // so that one message has more than is allowed
  ChildProcess child([&](auto&) {
    Vault next(duplicates());
    const Descriptor lowest(::dup(0));
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = static_cast<rlim_t>(lowest.get()) + 20;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    Vault::Contents contents = next.contents();
    EXPECT_FALSE(contents.complete);
    EXPECT_EQ(contents.sockets.size(), 19U);
    for (const Vault::Kept& kept : contents.sockets)
      ::close(kept.descriptor);
    limit.rlim_cur = before;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    contents = next.contents();
    EXPECT_TRUE(contents.complete);
    EXPECT_EQ(contents.sockets.size(), sockets.size()) << "nothing was taken out";
  });
  EXPECT_TRUE(child.wait());
}

TEST_F(VaultTest, SaysThatTheUserHasTooManyDescriptorsUnderWay) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs a user of its own, without privileges";
  ChildProcess child([&](const auto& report) {
    const auto sockets = make_sockets(300);
    const rlimit limit{.rlim_cur = 100, .rlim_max = 100};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    const auto user = static_cast<uid_t>(100000 + ::getpid());
    ASSERT_EQ(::setresuid(user, user, user), 0);
    // The ends are there already: the limit leaves no room for duplicates.
    Vault vault({.put = put_.get(), .take = take_.get()});
    std::size_t inside = 0;
    while (inside < sockets.size() && vault.put(sockets[inside].get()))
      ++inside;
    EXPECT_GE(inside, 100U);
    ASSERT_LT(inside, 200U);
    for (std::size_t i = inside; i < sockets.size(); ++i)
      ASSERT_FALSE(vault.put(sockets[i].get()));
    for (std::size_t i = 0; i < 60; ++i)
      vault.forget(sockets[i].get());
    EXPECT_TRUE(vault.put(sockets[inside].get())) << "there is room again";
    for (std::size_t i = 60; i <= inside; ++i)
      report(static_cast<std::int64_t>(cookie_of(sockets[i].get())));
  });
  std::set<std::uint64_t> inside;
  for (std::int64_t cookie = child.next_report(); cookie >= 0; cookie = child.next_report())
    inside.insert(static_cast<std::uint64_t>(cookie));
  EXPECT_TRUE(child.wait());
  EXPECT_GE(inside.size(), 41U);
  const auto found = look().cookies;
  for (const std::uint64_t cookie : inside)
    EXPECT_TRUE(found.contains(cookie));
}

// --- what somebody else has put inside

TEST_F(VaultTest, EndsAreConnectedSocketsThatKeepMessagesApart) {
  EXPECT_TRUE(Vault::are_ends({.put = put_.get(), .take = take_.get()}));
  EXPECT_FALSE(Vault::are_ends({.put = put_.get(), .take = -1}));
  EXPECT_FALSE(Vault::are_ends({.put = STDERR_FILENO, .take = take_.get()}));
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const Descriptor one(pair[0]), other(pair[1]);
  EXPECT_FALSE(Vault::are_ends({.put = one.get(), .take = other.get()}));
  const Descriptor tcp = make_socket();
  EXPECT_FALSE(Vault::are_ends({.put = tcp.get(), .take = tcp.get()}));
}

TEST_F(VaultTest, FindsSocketsBetweenMessagesOfAnyKind) {
  const auto sockets = make_sockets(4);
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const Descriptor reading(pipe[0]), writing(pipe[1]);
  const auto at = [&](std::size_t i) { return sockets[i].get(); };
  ASSERT_TRUE(send_raw(0, {}));
  ASSERT_TRUE(send_raw(0, {at(3)}));  // lost, because no Vault does so
  ASSERT_TRUE(send_raw(1, {}));
  ASSERT_TRUE(send_raw(50000, {at(0), reading.get()}));
  ASSERT_TRUE(send_raw(0, {}));
  ASSERT_TRUE(send_raw(0, {at(3)}));
  ASSERT_TRUE(send_raw(3, {take_.get(), put_.get(), writing.get()}));
  ASSERT_TRUE(send_raw(1, std::vector<int>(253, at(1))));
  ASSERT_TRUE(send_raw(20000, {}));
  ASSERT_TRUE(send_raw(1, {at(2), STDERR_FILENO}));
  ASSERT_TRUE(send_raw(0, {}));
  const std::set expected{cookie_of(at(0)), cookie_of(at(1)), cookie_of(at(2)),
                          cookie_of(take_.get()), cookie_of(put_.get())};
  EXPECT_EQ(look().cookies, expected);
  EXPECT_EQ(look().cookies, expected) << "a second time";

  Vault vault(duplicates());
  std::vector<Descriptor> kept;
  for (const Vault::Kept& one : vault.contents().sockets) {
    kept.emplace_back(one.descriptor);
    if (one.cookie == cookie_of(at(0)) || one.cookie == cookie_of(at(2))) {
      ASSERT_TRUE(vault.adopt(kept.back().get()));
    }
  }
  ASSERT_TRUE(vault.put(at(3)));
  ASSERT_TRUE(vault.compact());
  EXPECT_EQ(look().cookies, (std::set{cookie_of(at(0)), cookie_of(at(2)), cookie_of(at(3))}));
  EXPECT_EQ(messages(), 1);
}

TEST_F(VaultTest, LosesNothingToMessagesThatItDoesNotKnow) {
  const auto sockets = make_sockets(3);
  ASSERT_TRUE(send_raw(1, {sockets[0].get()}));
  Vault vault(duplicates());  // and never looks inside
  ASSERT_TRUE(vault.put(sockets[1].get()));
  ASSERT_TRUE(vault.put(sockets[2].get()));
  vault.forget(sockets[2].get());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(vault.compact());
    EXPECT_TRUE(look().cookies.contains(cookie_of(sockets[1].get())));
  }
}

TEST_F(VaultTest, SaysThatSomebodyElseHasTakenWhatItHad) {
  const auto sockets = make_sockets(2);
  Vault vault(duplicates());
  for (const Descriptor& socket : sockets)
    ASSERT_TRUE(vault.put(socket.get()));
  vault.forget(sockets[0].get());
  char byte = 0;
  while (::recv(take_.get(), &byte, 1, MSG_DONTWAIT) == 1)
    continue;
  EXPECT_FALSE(vault.compact());
}

TEST_F(VaultTest, SaysThatAnEndIsShutDown) {
  const auto sockets = make_sockets(2);
  Vault vault(duplicates());
  ASSERT_TRUE(vault.put(sockets[0].get()));
  vault.forget(sockets[0].get());
  ::shutdown(put_.get(), SHUT_WR);
  EXPECT_FALSE(vault.put(sockets[1].get()));
  EXPECT_TRUE(vault.compact());
  EXPECT_EQ(look().count, 0U);
}

// --- threads

TEST_F(VaultTest, IsUsedByManyThreadsAtOnce) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kEach = 50;
  Vault vault(duplicates());
  std::vector<std::vector<Descriptor>> kept(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round) {
        auto sockets = make_sockets(kEach);
        for (const Descriptor& socket : sockets)
          EXPECT_TRUE(vault.put(socket.get()));
        EXPECT_TRUE(round % 3 != 1 || vault.compact());
        for (const Descriptor& socket : kept[t])
          vault.forget(socket.get());
        kept[t] = std::move(sockets);
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  ASSERT_TRUE(vault.compact());
  std::set<std::uint64_t> expected;
  for (const auto& sockets : kept)
    expected.merge(cookies_of(sockets));
  EXPECT_EQ(look().cookies, expected);
  EXPECT_EQ(messages(), 1);
}

TEST(Cookies, NameTheSocketAndNotTheDescriptor) {
  const Descriptor one = make_socket(), other = make_socket();
  const Descriptor duplicate(::dup(one.get()));
  EXPECT_NE(cookie_of(one.get()), 0U);
  EXPECT_EQ(cookie_of(one.get()), cookie_of(duplicate.get()));
  EXPECT_NE(cookie_of(one.get()), cookie_of(other.get()));
  EXPECT_EQ(cookie_of(STDERR_FILENO), 0U);
  EXPECT_EQ(cookie_of(-1), 0U);
}

}  // namespace
}  // namespace backedpipe::test
