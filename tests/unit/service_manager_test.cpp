// What the service manager hears, at a real socket, while a real loop runs.
#include "daemon/service_manager.hpp"

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

using std::chrono::milliseconds;

// The manager's end of NOTIFY_SOCKET.
class Manager {
 public:
  // As in NOTIFY_SOCKET: "@name" is abstract.
  explicit Manager(const std::string& path) : path_(path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (path[0] == '@') address.sun_path[0] = '\0';
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                             (path[0] == '/' ? 1 : 0));
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Manager() {
    ::close(socket_);
    if (path_[0] == '/') std::filesystem::remove(path_);
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
      ::unsetenv(name);
  }

  // What has come so far.
  std::vector<std::string> heard() const {
    std::vector<std::string> messages;
    char buffer[4096];
    ssize_t size = 0;
    while ((size = ::recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
      messages.emplace_back(buffer, static_cast<std::size_t>(size));
    return messages;
  }

 private:
  std::string path_;
  int socket_ = -1;
};

std::string own_name(const std::string& prefix) {
  return prefix + "backedpipe-test-" + std::to_string(::getpid());
}

std::size_t count(const std::vector<std::string>& messages, const std::string& message) {
  std::size_t found = 0;
  for (const std::string& one : messages)
    found += one == message ? 1 : 0;
  return found;
}

class ServiceManagerTest : public testing::TestWithParam<std::string> {
 protected:
  boost::asio::io_context io;
  // Threads that answer at once.
  static void alive(const std::function<void()>& all_are) { all_are(); }
};

TEST_P(ServiceManagerTest, SaysReadyOnceWithTheFirstStatus) {
  const Manager system(own_name(GetParam()));
  ServiceManager manager(io);
  EXPECT_TRUE(system.heard().empty());
  manager.ready([] { return std::string("3 sessions"); }, alive);
  EXPECT_EQ(system.heard(), std::vector<std::string>{"READY=1\nSTATUS=3 sessions"});
}

INSTANTIATE_TEST_SUITE_P(Sockets, ServiceManagerTest,
                         testing::Values(testing::TempDir(), std::string("@")),
                         [](const auto& one) { return one.index == 0 ? "Path" : "Abstract"; });

TEST_F(ServiceManagerTest, PassesAStatusOnWhenItHasChangedOnly) {
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  int asked = 0;
  manager.ready([&] { return std::string(++asked < 3 ? "none" : "one"); }, alive);
  while (asked < 3)
    io.run_one();
  EXPECT_EQ(system.heard(), (std::vector<std::string>{"READY=1\nSTATUS=none", "STATUS=one"}));
}

TEST_F(ServiceManagerTest, FeedsTheWatchdogTwiceInItsTime) {
  ::setenv("WATCHDOG_USEC", "100000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  manager.ready([] { return std::string(); }, alive);
  // The first is asked for at once; then one each 50 ms, or later when the machine is busy.
  const auto began = std::chrono::steady_clock::now();
  std::size_t fed = count(system.heard(), "WATCHDOG=1");
  EXPECT_EQ(fed, 1U);
  for (int event = 0; event < 20 && fed < 5; ++event) {
    io.run_one();
    fed += count(system.heard(), "WATCHDOG=1");
  }
  EXPECT_EQ(fed, 5U);
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(190));
}

TEST_F(ServiceManagerTest, FeedsNoWatchdogUntilAllThreadsHaveAnswered) {
  ::setenv("WATCHDOG_USEC", "20000", 1);
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  std::vector<std::function<void()>> asked;
  manager.ready([] { return std::string(); },
                [&](std::function<void()> all_are) { asked.push_back(std::move(all_are)); });
  EXPECT_EQ(count(system.heard(), "WATCHDOG=1"), 1U);
  // Ten times the interval of two feeds; a thread that has not answered is not asked again.
  io.run_for(milliseconds(100));
  EXPECT_EQ(count(system.heard(), "WATCHDOG=1"), 0U);
  ASSERT_EQ(asked.size(), 1U);
  asked.front()();
  EXPECT_EQ(count(system.heard(), "WATCHDOG=1"), 1U);
  while (asked.size() < 2)
    io.run_one();
  EXPECT_EQ(count(system.heard(), "WATCHDOG=1"), 0U);
}

TEST_F(ServiceManagerTest, FeedsNoWatchdogThatIsSomebodyElses) {
  ::setenv("WATCHDOG_USEC", "20000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  manager.ready([] { return std::string(); }, alive);
  io.run_for(milliseconds(100));
  EXPECT_EQ(count(system.heard(), "WATCHDOG=1"), 0U);
}

TEST_F(ServiceManagerTest, SaysWhenAReloadBeganAndThatItEnded) {
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const long long before = now.tv_sec * 1'000'000LL + now.tv_nsec / 1'000;
  manager.reloading();
  manager.reloaded();
  const auto heard = system.heard();
  ASSERT_EQ(heard.size(), 2U);
  const std::string begin = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_EQ(heard[0].substr(0, begin.size()), begin);
  EXPECT_GE(std::stoll(heard[0].substr(begin.size())), before);
  EXPECT_EQ(heard[1], "READY=1");
}

TEST_F(ServiceManagerTest, SaysThatItStopsAndNothingMoreOfItsState) {
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  int asked = 0;
  manager.ready([&] { return std::to_string(++asked); }, alive);
  manager.stopping();
  io.run_for(milliseconds(1200));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(system.heard(),
            (std::vector<std::string>{"READY=1\nSTATUS=1", "STOPPING=1\nSTATUS=Stopping"}));
}

TEST_F(ServiceManagerTest, AStuckManagerDoesNotHoldUpTheLoop) {
  ::setenv("WATCHDOG_USEC", "2000", 1);
  const Manager system(own_name("@"));
  ServiceManager manager(io);
  manager.ready([] { return std::string(); }, alive);
  // Nobody reads: the queue of the socket is full after some hundred messages at most.
  for (int i = 0; i < 2000; ++i)
    manager.reloading();
  EXPECT_GT(io.run_for(milliseconds(20)), 0U);
  manager.stopping();
}

TEST_F(ServiceManagerTest, IsSilentWhenNobodyAsks) {
  ServiceManager manager(io);
  int asked = 0;
  manager.ready([&] { return std::to_string(++asked); }, alive);
  manager.reloading();
  manager.stopping();
  EXPECT_EQ(io.run(), 0U);
  EXPECT_EQ(asked, 0);
}

TEST_F(ServiceManagerTest, NamesASocketThatCannotBeUsed) {
  for (const char* path : {"relative", "@", "/nowhere/at/all"}) {
    ::setenv("NOTIFY_SOCKET", path, 1);
    try {
      ServiceManager manager(io);
      ADD_FAILURE() << path;
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()).rfind("NOTIFY_SOCKET " + std::string(path), 0), 0U)
          << error.what();
    }
  }
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace backedpipe
