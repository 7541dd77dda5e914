// ServiceManager: reports the daemon's state to systemd, or to another service manager that speaks
// its notification protocol, sd_notify(3). Does nothing when NOTIFY_SOCKET is not set. Lives in
// main(), on the thread that runs the io_context. That loop feeds the watchdog, and only if all
// other threads have answered since the last time, so that a stuck thread is noticed.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/keep/notify_socket.hpp"

namespace backedpipe {

class ServiceManager {
 public:
  // Reads the environment: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. Throws std::runtime_error
  // when NOTIFY_SOCKET is set but cannot be used: the manager would wait for us in vain.
  explicit ServiceManager(boost::asio::io_context& io);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Asks every thread of the daemon whether it is alive, without waiting. `all_are` is called on
  // this thread once every thread has answered, and never if one does not.
  using Ask = std::function<void(std::function<void()> all_are)>;

  // Everything is bound. From now on the watchdog is fed as long as `ask` is answered, and `status`
  // is called once a second at most for a line about the daemon, which is sent when it has changed.
  void ready(std::function<std::string()> status, Ask ask);
  // New settings are being read, until reloaded() is called.
  void reloading();
  void reloaded();
  // The daemon is ending. The watchdog is still fed; nothing else is sent after this.
  void stopping();
  // The same, and the next process is expected to continue the sessions.
  void parking();

 private:
  using Wait = NotifySocket::Wait;
  bool told() const { return socket_.has_value(); }
  void send(std::string_view message, Wait wait);
  void feed_watchdog();
  void pass_status_on();

  std::optional<NotifySocket> socket_;             // to the manager, if there is one
  std::chrono::microseconds watchdog_interval_{};  // zero: there is no watchdog
  boost::asio::steady_timer watchdog_timer_;
  boost::asio::steady_timer status_timer_;
  std::function<std::string()> status_;
  Ask ask_;
  std::string last_status_;
};

}  // namespace backedpipe
