#include "net/shared/spare_links.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/asio/post.hpp>

#include "net/clock.hpp"

namespace backedpipe {
namespace {

// How often links that the peer has closed are removed. Waiting for the close on each link would
// cost every session that takes one a system call and a turn of another thread.
constexpr auto kLookEvery = std::chrono::seconds(1);

bool is_of(Transport& link, boost::asio::io_context& io) {
  return link.socket().get_executor() == io.get_executor();
}

}  // namespace

void SpareLinks::put(std::unique_ptr<Transport> link, std::size_t most) {
  const MutexLock lock(mutex_);
  if (spares_.size() >= most) return;
  spares_.push_back({std::move(link), steady_now()});
  if (std::exchange(looking_, true)) return;
  boost::asio::post(home_, [self = shared_from_this()] { self->look_again(); });
}

std::unique_ptr<Transport> SpareLinks::take(const std::shared_ptr<const TransportFactory>& factory,
                                            boost::asio::io_context& io) {
  const MutexLock lock(mutex_);
  while (!spares_.empty()) {
    std::unique_ptr<Transport> link = take_newest(io);
    if (!link->made_by(factory) || !is_quiet(link->socket().native_handle())) continue;
    if (is_of(*link, io) || link->move_to(io)) return link;
  }
  return nullptr;
}

// Prefers a link of the same thread: it need not be moved, and its state may still be in the cache.
std::unique_ptr<Transport> SpareLinks::take_newest(boost::asio::io_context& io) {
  auto newest = std::find_if(spares_.rbegin(), spares_.rend(),
                             [&io](const Spare& spare) { return is_of(*spare.link, io); });
  if (newest == spares_.rend()) newest = spares_.rbegin();
  std::unique_ptr<Transport> link = std::move(newest->link);
  spares_.erase(std::next(newest).base());
  return link;
}

void SpareLinks::clear() {
  const MutexLock lock(mutex_);
  spares_.clear();
}

std::size_t SpareLinks::size() const {
  const MutexLock lock(mutex_);
  return spares_.size();
}

void SpareLinks::look_again() {
  timer_.expires_after(kLookEvery);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    const auto self = weak.lock();
    if (!cancelled && self) self->close_useless();
  });
}

void SpareLinks::close_useless() {
  const MutexLock lock(mutex_);
  const TimePoint too_old = steady_now() - kKeep;
  std::erase_if(spares_, [too_old](const Spare& spare) {
    return spare.since <= too_old || !is_quiet(spare.link->socket().native_handle());
  });
  looking_ = !spares_.empty();
  if (looking_) look_again();
}

}  // namespace backedpipe
