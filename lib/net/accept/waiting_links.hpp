// WaitingLinks: the spare links of one worker. Each had a session that ended cleanly, and now waits
// for the HELLO of the next session. Owned by an Acceptor, on its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "net/accept/link_listeners.hpp"
#include "net/accept/pending_link.hpp"

namespace backedpipe {

class WaitingLinks {
 public:
  using Heard = std::function<void(const LinkListener& listener, HeardLink link)>;

  // `heard` is called for each HELLO.
  explicit WaitingLinks(Heard heard) : heard_(std::move(heard)) {}

  // The most links to keep from now on; initially none.
  void limit(std::size_t most) { most_ = most; }
  // At the limit, the oldest is closed.
  void keep(const std::shared_ptr<LinkListener>& listener, std::unique_ptr<Transport> link);
  void close_all();

 private:
  void over(const LinkListener& listener, PendingLink::Outcome outcome);

  Heard heard_;
  std::size_t most_ = 0;
  std::map<std::uint64_t, std::shared_ptr<PendingLink>> links_;  // the oldest first
  std::uint64_t last_number_ = 0;
};

}  // namespace backedpipe
