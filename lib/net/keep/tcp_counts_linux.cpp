#include <cstddef>
#include <cstdint>

#include "net/keep/tcp_counts.hpp"
// The kernel's own header, because the C library's lacks the fields used here. The two cannot be
// included together.
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace backedpipe {
namespace {

using State = TcpCounts::State;

// How often the counts may change while they are read. Each change is a segment that arrives.
// Nobody reads, so the peer's window ends this soon.
constexpr int kMostTries = 10'000;

// As in the kernel's include/net/tcp_states.h. The C library has these too, in the header that
// cannot be included.
enum TcpState : unsigned {
  kEstablished = 1,
  kFinWait1 = 4,
  kFinWait2 = 5,
  kTimeWait = 6,
  kClose = 7,
  kCloseWait = 8,
  kLastAck = 9,
  kClosing = 11,
};

// Nothing while it is being connected, or for a socket that listens.
std::optional<State> state_of(unsigned number) {
  switch (number) {
    case kEstablished:
      return State::open;
    case kFinWait1:
    case kFinWait2:
      return State::end_sent;
    case kCloseWait:
      return State::end_received;
    case kLastAck:
    case kClosing:
      return State::both_ended;
    case kTimeWait:
    case kClose:
      return State::closed;
    default:
      return std::nullopt;
  }
}

// The counts that one call gives.
std::optional<TcpCounts> info_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  // Kernels before 4.1 have no such counters.
  if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) {
    return std::nullopt;
  }
  const std::optional<State> state = state_of(info.tcpi_state);
  if (!state) return std::nullopt;
  return TcpCounts{
      .state = *state, .received = info.tcpi_bytes_received, .acked = info.tcpi_bytes_acked};
}

std::optional<std::uint64_t> queued(int socket, unsigned long request) {
  int bytes = 0;
  if (::ioctl(socket, request, &bytes) != 0 || bytes < 0) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

// SO_ERROR would clear it. It also gives errors that have ended nothing, such as an unreachable
// network while TCP still tries.
bool is_error_pending(int socket) {
  pollfd state{.fd = socket, .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

}  // namespace

std::optional<TcpCounts> tcp_counts(int socket) {
  std::optional<TcpCounts> before = info_of(socket);
  for (int tries = 0; before && tries < kMostTries; ++tries) {
    const auto unread = queued(socket, SIOCINQ);
    const auto unacked = queued(socket, SIOCOUTQ);
    const bool error_pending = is_error_pending(socket);
    const std::optional<TcpCounts> after = info_of(socket);
    if (!unread || !unacked || !after) return std::nullopt;
    // Whatever changes the others changes one of these.
    if (before->state == after->state && before->received == after->received &&
        before->acked == after->acked) {
      before->unread = *unread;
      before->unacked = *unacked;
      before->error_pending = error_pending;
      return before;
    }
    before = after;
  }
  return std::nullopt;
}

}  // namespace backedpipe
