#include <chrono>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/socket/link_socket.hpp"

namespace backedpipe {
namespace {

constexpr int kNotSentLowWaterBytes = 128 << 10;

void set(StreamSocket& socket, int option, int value) {
  // A socket that refuses an option still carries bytes.
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
}

}  // namespace

void prepare_link_socket(StreamSocket& socket, Duration dead) {
  set_no_delay(socket);
  set(socket, TCP_NOTSENT_LOWAT, kNotSentLowWaterBytes);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(dead).count();
  set(socket, TCP_USER_TIMEOUT, static_cast<int>(milliseconds));
  // What an interactive session repeats while nobody answers (up to three segments) is repeated
  // every 200 ms and a round trip, six times, rather than ever more rarely. A congestion control
  // that sets no threshold, such as bbr, does without.
  set(socket, TCP_THIN_LINEAR_TIMEOUTS, 1);
}

}  // namespace backedpipe
