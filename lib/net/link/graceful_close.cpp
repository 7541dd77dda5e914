#include "net/link/graceful_close.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "net/timer.hpp"

namespace backedpipe {

boost::asio::execution_context::id ClosingLinks::id;

class GracefulClose : public std::enable_shared_from_this<GracefulClose> {
 public:
  explicit GracefulClose(std::unique_ptr<Transport> transport)
      : transport_(std::move(transport)), timer_(transport_->socket().get_executor()) {}
  ~GracefulClose() { leave(); }

  void start() {
    closing_ = &ClosingLinks::of(transport_->socket().get_executor().context());
    place_ = closing_->enter(*this);
    transport_->shutdown();
    timer_.expires_after(std::chrono::seconds(2));
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->close();
    });
    drain();
  }

  // Its pending waits end, and let go of it.
  void close() {
    leave();
    timer_.cancel();
    boost::system::error_code ignored;
    transport_->socket().close(ignored);
  }

 private:
  void leave() {
    if (auto* const closing = std::exchange(closing_, nullptr)) closing->leave(place_);
  }

  void drain() {
    std::array<std::byte, 4096> unwanted;
    for (int reads = 0; reads < 16; ++reads) {
      const std::array<MutableBytes, 1> pieces{MutableBytes(unwanted)};
      // Read below the encryption: the content does not matter.
      const IoResult result = read_some(transport_->socket().native_handle(), pieces);
      if (result.status == IoResult::Status::closed || result.status == IoResult::Status::failed) {
        return close();
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
  ClosingLinks* closing_ = nullptr;
  ClosingLinks::Links::iterator place_{};
};

void ClosingLinks::limit(std::size_t most) {
  most_ = std::max<std::size_t>(most, 1);
}

ClosingLinks::Links::iterator ClosingLinks::enter(GracefulClose& link) {
  while (links_.size() >= most_)
    links_.front()->close();
  return links_.insert(links_.end(), &link);
}

void close_gracefully(std::unique_ptr<Transport> transport) {
  if (!transport || !transport->socket().is_open()) return;
  std::make_shared<GracefulClose>(std::move(transport))->start();
}

}  // namespace backedpipe
