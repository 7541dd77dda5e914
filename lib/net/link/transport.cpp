#include "net/link/transport.hpp"

namespace backedpipe {

bool Transport::move_to(boost::asio::io_context& io) {
  boost::system::error_code error;
  const StreamSocket::protocol_type protocol = socket_.local_endpoint(error).protocol();
  // The descriptor stays the same: whatever lies on top of it need not know.
  return !error && register_anew(socket_, protocol, io);
}

}  // namespace backedpipe
