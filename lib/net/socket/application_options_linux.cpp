#include <algorithm>
#include <chrono>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/socket/application_options.hpp"
#include "net/socket/stream.hpp"

namespace backedpipe {
namespace {

constexpr int kProbes = 3;

void set(int socket, int level, int option, int value) {
  // A socket that refuses an option still carries bytes.
  ::setsockopt(socket, level, option, &value, sizeof value);
}

}  // namespace

void prepare_application_socket(int socket, std::optional<Duration> keepalive) {
  set_no_delay(socket);
  set_closing(socket, Closing::reset);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, keepalive ? 1 : 0);
  if (!keepalive) return;
  // The first half in silence, then three probes; TCP counts in seconds.
  const auto seconds =
      static_cast<int>(std::chrono::ceil<std::chrono::seconds>(*keepalive).count());
  const int interval = std::max(1, seconds / (2 * kProbes));
  set(socket, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, seconds - kProbes * interval));
  set(socket, IPPROTO_TCP, TCP_KEEPINTVL, interval);
  set(socket, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

}  // namespace backedpipe
