#include "net/link/transport.hpp"

namespace backedpipe {

bool Transport::move_to(boost::asio::io_context& io) {
  boost::system::error_code error;
  const StreamSocket::protocol_type protocol = socket_.local_endpoint(error).protocol();
  if (error) return false;
  // The descriptor stays the same: whatever lies on top of it need not know.
  const int descriptor = socket_.release(error);
  if (error) return false;
  socket_ = StreamSocket(io);
  socket_.assign(protocol, descriptor, error);
  if (error) ::close(descriptor);
  return !error;
}

}  // namespace backedpipe
