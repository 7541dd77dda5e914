#include "net/link/transport.hpp"

#include "net/socket/tcp_progress.hpp"

namespace backedpipe {

std::unique_ptr<Transport> TransportFactory::wrap(StreamSocket socket) const {
  std::unique_ptr<Transport> transport = make(std::move(socket));
  transport->maker_ = weak_from_this();
  return transport;
}

std::optional<TcpAnswer> Transport::tcp_answer(TimePoint now) {
  const auto progress = tcp_progress(fd());
  if (!progress || progress->delivered == std::exchange(tcp_delivered_, progress->delivered)) {
    return std::nullopt;
  }
  return TcpAnswer{.at = now - progress->since_acknowledgement,
                   .round_trip = progress->least_round_trip};
}

bool Transport::move_to(boost::asio::io_context& io) {
  boost::system::error_code error;
  const StreamSocket::protocol_type protocol = socket_.local_endpoint(error).protocol();
  // The descriptor stays the same, so a TLS layer above it is not affected.
  return !error && register_anew(socket_, protocol, io);
}

}  // namespace backedpipe
