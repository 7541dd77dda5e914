#include "net/link/transport.hpp"

namespace backedpipe {

std::unique_ptr<Transport> TransportFactory::wrap(StreamSocket socket) const {
  std::unique_ptr<Transport> transport = make(std::move(socket));
  transport->maker_ = weak_from_this();
  return transport;
}

bool Transport::move_to(boost::asio::io_context& io) {
  boost::system::error_code error;
  const StreamSocket::protocol_type protocol = socket_.local_endpoint(error).protocol();
  // The descriptor stays the same: whatever lies on top of it need not know.
  return !error && register_anew(socket_, protocol, io);
}

}  // namespace backedpipe
