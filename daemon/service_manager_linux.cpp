#include <ctime>
#include <unistd.h>
#include <utility>

#include "daemon/service_manager.hpp"
#include "net/keep/environment.hpp"
#include "net/keep/supervisor.hpp"

namespace backedpipe {
namespace {

constexpr auto kStatusEvery = std::chrono::seconds(1);

std::chrono::microseconds watchdog_interval() {
  const std::string_view pid = environment("WATCHDOG_PID");
  if (!pid.empty() && whole_number(pid) != static_cast<std::uint64_t>(::getpid())) return {};
  // Half of the allowed time, as sd_watchdog_enabled(3) recommends; the threads answer quickly.
  return std::chrono::microseconds(whole_number(environment("WATCHDOG_USEC")) / 2);
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
  socket_.emplace(path);
  watchdog_interval_ = watchdog_interval();
}

ServiceManager::~ServiceManager() = default;

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

void ServiceManager::parking() {
  if (told()) send(kParkingMessage, Wait::no);
  stopping();
}

// A manager whose queue is full is stuck itself, and waiting for it would hold up every session.
// Only ready() may wait: there are no sessions yet, and the start fails without its message.
void ServiceManager::send(std::string_view message, Wait wait) {
  socket_->send(message, wait);
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
