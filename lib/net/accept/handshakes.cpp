#include "net/accept/handshakes.hpp"

#include <utility>

#include <spdlog/spdlog.h>

#include "net/socket/link_socket.hpp"

namespace backedpipe {

void Handshakes::begin(const std::shared_ptr<LinkListener>& listener, StreamSocket socket) {
  const Remote remote = remote_of(socket);
  prepare_link_socket(socket, worker_.session_options().liveness.dead);
  const Admission::Ticket ticket = worker_.shared().directory.enter(remote.host, holder_);
  ++listener->handshake_count;
  auto link = std::make_shared<PendingLink>(
      listener->factory->wrap(std::move(socket)),
      [this, listener, ticket, source = remote.address](PendingLink::Outcome outcome) {
        --listener->handshake_count;
        worker_.shared().directory.leave(ticket);
        pending_.erase(ticket);
        over(*listener, source, std::move(outcome));
      });
  pending_.emplace(ticket, link);
  link->start();
}

void Handshakes::make_room_for(Admission::Ticket ticket) {
  if (const auto found = pending_.find(ticket); found != pending_.end()) found->second->evict();
}

void Handshakes::over(LinkListener& listener, const std::string& source,
                      PendingLink::Outcome outcome) {
  if (auto* const heard = std::get_if<HeardLink>(&outcome)) {
    return heard_(listener, std::move(*heard));
  }
  if (const auto* const closed = std::get_if<PendingLink::Closed>(&outcome)) {
    // Not a failure: a client closes the connections that it does not need.
    return spdlog::debug("link from {}: {}", source, closed->why);
  }
  if (const auto* const failed = std::get_if<PendingLink::Failed>(&outcome)) {
    spdlog::warn("link from {}: handshake failed: {}", source, failed->why);
  } else {
    if (!listener.evictions) {
      listener.evictions = std::make_unique<RepeatedWarning>(
          worker_.io(), "listener " + to_string(listener.listener->address()) + ": overloaded");
    }
    listener.evictions->add("the unfinished handshake of " + source + " made room for another");
  }
  refusals_.count_failed_handshake();
}

}  // namespace backedpipe
