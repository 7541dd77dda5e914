#include "net/link/spare_links.hpp"

#include <algorithm>
#include <utility>

#include "net/worker.hpp"

namespace backedpipe {

void SpareLinks::put(std::unique_ptr<Transport> link) {
  spares_.push_back({std::move(link), Worker::now()});
  arm();
}

std::unique_ptr<Transport> SpareLinks::take() {
  while (!spares_.empty()) {
    std::unique_ptr<Transport> link = std::move(spares_.back().link);
    spares_.pop_back();
    // The peer has nothing to say on it, so it can only have closed it.
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
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    armed_ = false;
    close_old();
    arm();
  });
}

}  // namespace backedpipe
