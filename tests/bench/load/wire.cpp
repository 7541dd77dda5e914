// A wire between two network namespaces that delivers every packet after a delay, in order and
// without loss: real TCP with a real round trip, which the kernel's own netem would do where it is
// built in.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vector>

#include "socket.hpp"
#include "subjects.hpp"

namespace backedpipe::bench {
namespace {

struct Packet {
  Clock::time_point due;
  std::vector<std::byte> bytes;
};

struct End {
  Fd device;
  std::deque<Packet> arriving;  // here, when they are due
};

// The tun device `name` in the network namespace of the process `pid`: "PID:NAME".
Fd open_device(const std::string& where) {
  const std::size_t colon = where.find(':');
  const std::string path = "/proc/" + where.substr(0, colon) + "/ns/net";
  const Fd home(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  const Fd there(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there || ::setns(there.get(), CLONE_NEWNET) != 0) fail("namespace " + path);
  Fd device(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, where.c_str() + colon + 1, IFNAMSIZ - 1);
  if (!device || ::ioctl(device.get(), TUNSETIFF, &request) != 0) fail("device " + where);
  if (::setns(home.get(), CLONE_NEWNET) != 0) fail("namespace");
  return device;
}

void take(const End& from, End& to, Clock::duration delay) {
  std::byte buffer[65536];
  while (true) {
    const ssize_t count = ::read(from.device.get(), buffer, sizeof buffer);
    if (count <= 0) return;
    to.arriving.push_back({Clock::now() + delay, {buffer, buffer + count}});
  }
}

void deliver(End& end, Clock::time_point now) {
  while (!end.arriving.empty() && end.arriving.front().due <= now) {
    const auto& bytes = end.arriving.front().bytes;
    if (::write(end.device.get(), bytes.data(), bytes.size()) < 0 && errno != EIO)
      fail("write to the device");
    end.arriving.pop_front();
  }
}

void arm(const Fd& timer, const End& near, const End& far) {
  itimerspec when{};
  for (const End* end : {&near, &far}) {
    if (end->arriving.empty()) continue;
    const auto due = end->arriving.front().due.time_since_epoch();
    const long seconds =
        static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(due).count());
    const long rest = static_cast<long>((due - std::chrono::seconds(seconds)).count());
    timespec& earliest = when.it_value;
    if ((earliest.tv_sec == 0 && earliest.tv_nsec == 0) || seconds < earliest.tv_sec ||
        (seconds == earliest.tv_sec && rest < earliest.tv_nsec))
      earliest = {seconds, rest};
  }
  ::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace

void wire(const Options& options) {
  const auto delay = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(number_option(options, "delay-ms", 50)));
  End near{open_device(text_option(options, "near")), {}};
  End far{open_device(text_option(options, "far")), {}};
  const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  Poller poller;
  poller.add(near.device, EPOLLIN, &near);
  poller.add(far.device, EPOLLIN, &far);
  poller.add(timer, EPOLLIN, nullptr);
  std::printf("up\n");
  std::fflush(stdout);
  while (true) {
    poller.wait();
    std::uint64_t expirations = 0;
    [[maybe_unused]] const ssize_t count = ::read(timer.get(), &expirations, sizeof expirations);
    take(near, far, delay);
    take(far, near, delay);
    const auto now = Clock::now();
    deliver(near, now);
    deliver(far, now);
    arm(timer, near, far);
  }
}

}  // namespace backedpipe::bench
