// The kernel's own header, because the C library's lacks most fields used here. The two cannot be
// included together.
#include <algorithm>
#include <cstddef>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/socket/tcp_progress.hpp"

namespace backedpipe {

std::optional<TcpProgress> tcp_progress(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  // Kernels before 4.18 have no such counter.
  if (size < offsetof(tcp_info, tcpi_delivered) + sizeof info.tcpi_delivered) return std::nullopt;
  return TcpProgress{
      .delivered = info.tcpi_delivered,
      .since_acknowledgement = std::chrono::milliseconds(info.tcpi_last_ack_recv),
      .least_round_trip = std::chrono::microseconds(info.tcpi_min_rtt),
  };
}

std::optional<Unanswered> tcp_unanswered(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0) return std::nullopt;
  return Unanswered{
      .attempts = std::max<unsigned>(info.tcpi_retransmits, info.tcpi_probes),
      .silence = std::chrono::milliseconds(info.tcpi_last_ack_recv),
  };
}

}  // namespace backedpipe
