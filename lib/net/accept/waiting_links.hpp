// WaitingLinks: the spare links of one worker. The session of each has come to a clean end, and now
// it waits for the HELLO of another one. Owned by an Acceptor, on its thread.
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

  // `heard` is called for each HELLO that comes.
  explicit WaitingLinks(Heard heard) : heard_(std::move(heard)) {}

  // How many there may be from now on; none at first.
  void limit(std::size_t most) { most_ = most; }
  // When there are too many, the oldest is closed.
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
