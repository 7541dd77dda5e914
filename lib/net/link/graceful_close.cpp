#include "net/link/graceful_close.hpp"

#include <array>
#include <chrono>

#include "net/timer.hpp"

namespace backedpipe {
namespace {

class GracefulClose : public std::enable_shared_from_this<GracefulClose> {
 public:
  explicit GracefulClose(std::unique_ptr<Transport> transport)
      : transport_(std::move(transport)), timer_(transport_->socket().get_executor()) {}

  void start() {
    transport_->shutdown();
    timer_.expires_after(std::chrono::seconds(2));
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      boost::system::error_code ignored;
      if (!error) self->transport_->socket().close(ignored);
    });
    drain();
  }

 private:
  void drain() {
    std::array<std::byte, 4096> unwanted;
    for (int reads = 0; reads < 16; ++reads) {
      const std::array<MutableBytes, 1> pieces{MutableBytes(unwanted)};
      // Read below the encryption: the content does not matter.
      const IoResult result = read_some(transport_->socket().native_handle(), pieces);
      if (result.status == IoResult::Status::closed || result.status == IoResult::Status::failed) {
        timer_.cancel();
        return;
      }
      if (result.status == IoResult::Status::want_read) break;
    }
    transport_->socket().async_wait(
        StreamSocket::wait_read,
        [self = shared_from_this()](const boost::system::error_code& error) {
          if (!error) self->drain();
        });
  }

  std::unique_ptr<Transport> transport_;
  Timer timer_;
};

}  // namespace

void close_gracefully(std::unique_ptr<Transport> transport) {
  if (!transport || !transport->socket().is_open()) return;
  std::make_shared<GracefulClose>(std::move(transport))->start();
}

}  // namespace backedpipe
