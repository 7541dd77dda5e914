#include "net/link/transport.hpp"

namespace backedpipe {
namespace {

class PlainTransport final : public Transport {
 public:
  using Transport::Transport;

  IoResult handshake() override { return {}; }

  IoResult write(std::span<const ConstBytes> pieces) override { return write_some(fd(), pieces); }

  void shutdown() override {
    boost::system::error_code ignored;
    socket().shutdown(boost::asio::socket_base::shutdown_send, ignored);
  }

 private:
  IoResult read_pieces(std::span<const MutableBytes> pieces) override {
    return read_some(fd(), pieces);
  }
};

class PlainFactory final : public TransportFactory {
 private:
  std::unique_ptr<Transport> make(StreamSocket socket) const override {
    return std::make_unique<PlainTransport>(std::move(socket));
  }
};

}  // namespace

std::unique_ptr<TransportFactory> make_plain_factory() {
  return std::make_unique<PlainFactory>();
}

}  // namespace backedpipe
