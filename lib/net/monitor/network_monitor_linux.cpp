// Network changes come from the kernel through an rtnetlink socket (rtnetlink(7)). A suspend is
// noticed by a timer that the kernel cancels when the wall clock is set, as it also is on resuming
// (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <ifaddrs.h>
#include <limits>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/monitor/change_filters.hpp"
#include "net/monitor/network_monitor.hpp"
#include "net/monitor/route_messages_linux.hpp"

namespace backedpipe {
namespace {

using boost::asio::posix::stream_descriptor;

constexpr std::size_t kDatagramBytes = std::size_t{32} << 10;

Duration read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Duration time_asleep() {
  return read_clock(CLOCK_BOOTTIME) - read_clock(CLOCK_MONOTONIC);
}

int open_route_socket() {
  const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (socket < 0) return -1;
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return socket;
  }
  const int error = errno;
  ::close(socket);
  errno = error;
  return -1;
}

// Arms a timer that never expires, but is cancelled when the clock is set.
bool arm(int timer) {
  itimerspec never{};
  never.it_value.tv_sec = std::numeric_limits<time_t>::max();
  // ECANCELED: the clock was set again during the call; the timer is armed all the same.
  return ::timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr) ==
             0 ||
         errno == ECANCELED;
}

// Starts with the interfaces and addresses that exist already.
RouteMessages learn_interfaces() {
  RouteMessages messages;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return messages;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, ::freeifaddrs);
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const auto know = [&](std::size_t at, std::size_t size) {
      messages.know_address(std::string(reinterpret_cast<const char*>(entry->ifa_addr) + at, size));
    };
    switch (entry->ifa_addr->sa_family) {
      case AF_INET:
        know(offsetof(sockaddr_in, sin_addr), sizeof(in_addr));
        break;
      case AF_INET6:
        know(offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr));
        break;
      case AF_PACKET:
        if ((entry->ifa_flags & IFF_UP) != 0 && (entry->ifa_flags & IFF_RUNNING) != 0) {
          sockaddr_ll link;
          std::memcpy(&link, entry->ifa_addr, sizeof link);
          messages.know_running(link.sll_ifindex);
        }
        break;
      default:
        break;
    }
  }
  return messages;
}

}  // namespace

// Kept alive by the waits in flight, until stop() cancels them.
class NetworkMonitor::Watch : public std::enable_shared_from_this<Watch> {
 public:
  explicit Watch(boost::asio::io_context& io) : routes_(io), clock_(io), report_(io) {}

  void start(Changed changed) {
    changed_ = std::move(changed);
    if (const int socket = open_route_socket(); socket >= 0) {
      routes_.assign(socket);
      messages_ = learn_interfaces();
      wait_for_routes();
    } else {
      spdlog::warn("network changes cannot be watched: {}", std::strerror(errno));
    }
    const int timer = ::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer >= 0) clock_.assign(timer);
    if (timer >= 0 && arm(timer)) {
      wait_for_clock();
    } else {
      spdlog::warn("resuming from suspend cannot be noticed: {}", std::strerror(errno));
    }
  }

  void stop() {
    changed_ = nullptr;
    boost::system::error_code ignored;
    routes_.close(ignored);
    clock_.close(ignored);
    report_.cancel();
  }

 private:
  void wait_for_routes() {
    routes_.async_wait(stream_descriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (!error && self->changed_) self->read_routes();
                       });
  }

  void read_routes() {
    bool matters = false;
    while (true) {
      std::array<std::byte, kDatagramBytes> buffer;
      sockaddr_nl sender{};
      socklen_t sender_bytes = sizeof sender;
      const ssize_t count = ::recvfrom(routes_.native_handle(), buffer.data(), buffer.size(), 0,
                                       reinterpret_cast<sockaddr*>(&sender), &sender_bytes);
      if (count >= 0) {
        const auto bytes = static_cast<std::size_t>(count);
        // Only messages of the kernel come from port 0.
        if (sender.nl_pid == 0) matters |= messages_.matter({buffer.data(), bytes});
        continue;
      }
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) {
        // Messages were lost: assume that they mattered.
        messages_ = learn_interfaces();
        matters = true;
        continue;
      }
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        spdlog::warn("network changes can no longer be watched: {}", std::strerror(errno));
        break;
      }
      wait_for_routes();
      break;
    }
    if (matters) noticed({.rerouted = true, .resumed = false});
  }

  void wait_for_clock() {
    clock_.async_wait(stream_descriptor::wait_read,
                      [self = shared_from_this()](const boost::system::error_code& error) {
                        if (!error && self->changed_) self->read_clock_timer();
                      });
  }

  void read_clock_timer() {
    std::uint64_t expirations = 0;
    const ssize_t count = ::read(clock_.native_handle(), &expirations, sizeof expirations);
    if (count < 0 && errno == ECANCELED) {
      arm(clock_.native_handle());
      if (suspend_.was_suspended(time_asleep())) noticed({.rerouted = false, .resumed = true});
    }
    wait_for_clock();
  }

  void noticed(const NetworkChange& change) {
    pending_.rerouted |= change.rerouted;
    pending_.resumed |= change.resumed;
    if (reporting_) return;
    const TimePoint now = steady_now();
    const TimePoint due = pace_.due(now);
    if (due <= now) return report();
    reporting_ = true;
    report_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(due));
    report_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      self->reporting_ = false;
      if (!error && self->changed_) self->report();
    });
  }

  void report() {
    pace_.reported(steady_now());
    changed_(std::exchange(pending_, {}));
  }

  stream_descriptor routes_;
  stream_descriptor clock_;
  boost::asio::steady_timer report_;
  Changed changed_;
  RouteMessages messages_;
  SuspendWatch suspend_{time_asleep()};
  ReportPace pace_;
  NetworkChange pending_;
  bool reporting_ = false;
};

NetworkMonitor::NetworkMonitor(boost::asio::io_context& io) : watch_(std::make_shared<Watch>(io)) {}

NetworkMonitor::~NetworkMonitor() {
  stop();
}

void NetworkMonitor::start(Changed changed) {
  watch_->start(std::move(changed));
}

void NetworkMonitor::stop() {
  watch_->stop();
}

}  // namespace backedpipe
