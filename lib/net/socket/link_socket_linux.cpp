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
  set_no_delay(socket.native_handle());
  set(socket, TCP_NOTSENT_LOWAT, kNotSentLowWaterBytes);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(dead).count();
  set(socket, TCP_USER_TIMEOUT, static_cast<int>(milliseconds));
  // With up to three segments in flight, as in an interactive session, the first six
  // retransmissions come 200 ms and a round trip apart, without exponential backoff. Has no effect
  // with a congestion control that sets no slow-start threshold, such as bbr.
  set(socket, TCP_THIN_LINEAR_TIMEOUTS, 1);
}

void limit_segments(StreamSocket& socket, std::uint16_t bytes) {
  set(socket, TCP_MAXSEG, bytes);
}

}  // namespace backedpipe
