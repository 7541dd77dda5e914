#include "net/link/spare_links.hpp"

#include <algorithm>
#include <utility>

#include "net/worker.hpp"

namespace backedpipe {

void SpareLinks::put(std::unique_ptr<Transport> link) {
  spares_.push_back({std::move(link), Worker::now()});
  await_close(*spares_.back().link);
  arm();
}

// The peer has nothing to say on it, so what comes can only be its end.
void SpareLinks::await_close(Transport& link) {
  link.socket().async_wait(
      StreamSocket::wait_read,
      [weak = weak_from_this(), link = &link](const boost::system::error_code& cancelled) {
        const auto self = weak.lock();
        if (cancelled || !self) return;
        std::erase_if(self->spares_,
                      [link](const Spare& spare) { return spare.link.get() == link; });
      });
}

std::unique_ptr<Transport> SpareLinks::take() {
  while (!spares_.empty()) {
    std::unique_ptr<Transport> link = std::move(spares_.back().link);
    spares_.pop_back();
    boost::system::error_code ignored;
    link->socket().cancel(ignored);
    // Its end may be here, and nobody told yet.
    if (is_quiet(link->socket().native_handle())) return link;
  }
  return nullptr;
}

void SpareLinks::clear() {
  spares_.clear();
}

void SpareLinks::close_old() {
  const auto kept = std::find_if(
      spares_.begin(), spares_.end(),
      [too_old = Worker::now() - kKeep](const Spare& spare) { return spare.since > too_old; });
  spares_.erase(spares_.begin(), kept);
}

// One that is taken meanwhile leaves the timer alone.
void SpareLinks::arm() {
  if (spares_.empty() || std::exchange(armed_, true)) return;
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(
      spares_.front().since + kKeep));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self) return;
    self->armed_ = false;
    self->close_old();
    self->arm();
  });
}

}  // namespace backedpipe
