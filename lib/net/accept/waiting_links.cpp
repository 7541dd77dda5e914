#include "net/accept/waiting_links.hpp"

#include <utility>

#include <spdlog/spdlog.h>

#include "net/link/graceful_close.hpp"
#include "net/shared/spare_links.hpp"

namespace backedpipe {

void WaitingLinks::keep(const std::shared_ptr<LinkListener>& listener,
                        std::unique_ptr<Transport> link) {
  if (most_ == 0) return close_gracefully(std::move(link));
  // Evict the oldest: otherwise the first links would keep all places.
  if (links_.size() >= most_) links_.begin()->second->evict();
  const std::uint64_t number = ++last_number_;
  ++listener->spare_count;
  auto waiting = std::make_shared<PendingLink>(
      std::move(link), [this, listener, number](PendingLink::Outcome outcome) {
        --listener->spare_count;
        links_.erase(number);
        over(*listener, std::move(outcome));
      });
  links_.emplace(number, waiting);
  waiting->await_hello({.before_hello = SpareLinks::kAwait});
}

void WaitingLinks::close_all() {
  for (const auto& [number, link] : std::exchange(links_, {}))
    link->evict();
}

// The client is authenticated and its session has ended: a failure now needs no warning.
void WaitingLinks::over(const LinkListener& listener, PendingLink::Outcome outcome) {
  if (auto* const heard = std::get_if<HeardLink>(&outcome)) {
    return heard_(listener, std::move(*heard));
  }
  if (const auto* const closed = std::get_if<PendingLink::Closed>(&outcome)) {
    spdlog::debug("spare link: {}", closed->why);
  } else if (const auto* const failed = std::get_if<PendingLink::Failed>(&outcome)) {
    spdlog::debug("spare link: {}", failed->why);
  }
}

}  // namespace backedpipe
