#include <linux/sockios.h>
#include <netinet/in.h>
// After <netinet/in.h>: the kernel's own header has the newer fields of tcp_info.
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/keep/tcp_counts.hpp"
#include "net/keep/vault.hpp"

namespace backedpipe {
namespace {

int option_of(int socket, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, level, option, &value, &size) == 0 ? value : -1;
}

std::optional<TcpCounts> counts_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  int unread = 0;
  int unacknowledged = 0;
  if (option_of(socket, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
      ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      ::ioctl(socket, SIOCINQ, &unread) != 0 || ::ioctl(socket, SIOCOUTQ, &unacknowledged) != 0) {
    return std::nullopt;
  }
  return TcpCounts{.received = info.tcpi_bytes_received,
                   .acknowledged = info.tcpi_bytes_acked,
                   .unread = static_cast<std::uint64_t>(unread),
                   .unacknowledged = static_cast<std::uint64_t>(unacknowledged),
                   .state = static_cast<TcpCounts::State>(info.tcpi_state)};
}

}  // namespace

LedgerEntry::Connection connection_of(int socket) {
  const auto counts = counts_of(socket);
  if (!counts) return {.socket = cookie_of(socket), .uncounted = true};
  const Moved already = moved_until(*counts);
  return {.socket = cookie_of(socket),
          .taken_baseline = already.taken,
          .given_baseline = already.given};
}

std::optional<Moved> moved_on(int socket, const LedgerRecord& record) {
  auto counts = counts_of(socket);
  // Nobody counts the bytes of a Unix socket.
  if (!counts) return Moved{};
  counts->error_pending = option_of(socket, SOL_SOCKET, SO_ERROR) != 0;
  return moved_since({.taken = record.taken_baseline, .given = record.given_baseline}, *counts,
                     record.written_offset);
}

}  // namespace backedpipe
