#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "daemon/service_manager.hpp"

namespace backedpipe {
namespace {

constexpr auto kStatusEvery = std::chrono::seconds(1);

std::string_view environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

// The text as a whole number; 0 if it is none.
std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && rest == end ? value : 0;
}

// "/path", or "@name" for a name in the abstract namespace.
int connect_to(std::string_view path) {
  const auto refuse = [&](const std::string& why) {
    throw std::runtime_error("NOTIFY_SOCKET " + std::string(path) + ": " + why);
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || (path[0] != '/' && path[0] != '@')) {
    refuse("expected a path that begins with / or @");
  }
  if (path.size() >= sizeof address.sun_path) refuse("the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  // The zero that ends a path is not part of an abstract name.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                           (path[0] == '/' ? 1 : 0));
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || ::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    const int error = errno;
    if (socket >= 0) ::close(socket);
    refuse(std::strerror(error));
  }
  return socket;
}

std::chrono::microseconds watchdog_interval() {
  const std::string_view pid = environment("WATCHDOG_PID");
  if (!pid.empty() && number(pid) != static_cast<std::uint64_t>(::getpid())) return {};
  // Half of the allowed time, as sd_watchdog_enabled(3) recommends; the threads answer quickly.
  return std::chrono::microseconds(number(environment("WATCHDOG_USEC")) / 2);
}

std::string monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000);
}

}  // namespace

ServiceManager::ServiceManager(boost::asio::io_context& io)
    : watchdog_timer_(io), status_timer_(io) {
  const std::string_view path = environment("NOTIFY_SOCKET");
  if (path.empty()) return;
  socket_ = connect_to(path);
  watchdog_interval_ = watchdog_interval();
}

ServiceManager::~ServiceManager() {
  if (told()) ::close(socket_);
}

void ServiceManager::ready(std::function<std::string()> status, Ask ask) {
  if (!told()) return;
  status_ = std::move(status);
  ask_ = std::move(ask);
  last_status_ = status_();
  send("READY=1\nSTATUS=" + last_status_, Wait::yes);
  if (watchdog_interval_.count() > 0) feed_watchdog();
  pass_status_on();
}

void ServiceManager::reloading() {
  if (told()) send("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec(), Wait::no);
}

void ServiceManager::reloaded() {
  if (told()) send("READY=1", Wait::no);
}

void ServiceManager::stopping() {
  if (!told()) return;
  status_timer_.cancel();
  status_ = nullptr;
  send("STOPPING=1\nSTATUS=Stopping", Wait::no);
}

// A manager whose queue is full is stuck itself, and waiting for it would hold up every session.
// Only ready() may wait: there are no sessions yet, and the start fails without its message.
void ServiceManager::send(std::string_view message, Wait wait) {
  const int flags = MSG_NOSIGNAL | (wait == Wait::no ? MSG_DONTWAIT : 0);
  while (::send(socket_, message.data(), message.size(), flags) < 0 && errno == EINTR) {
  }
}

void ServiceManager::feed_watchdog() {
  send("WATCHDOG=1", Wait::no);
  watchdog_timer_.expires_after(watchdog_interval_);
  watchdog_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) ask_([this] { feed_watchdog(); });
  });
}

void ServiceManager::pass_status_on() {
  status_timer_.expires_after(kStatusEvery);
  status_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || !status_) return;
    std::string status = status_();
    if (status != last_status_) {
      last_status_ = std::move(status);
      send("STATUS=" + last_status_, Wait::no);
    }
    pass_status_on();
  });
}

}  // namespace backedpipe
