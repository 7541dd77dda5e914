// Handshakes: the links of one worker that were just accepted and have not yet sent their HELLO.
// Their number is limited for all workers together: see Admission. Owned by an Acceptor, on its
// thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "net/accept/link_listeners.hpp"
#include "net/accept/pending_link.hpp"
#include "net/accept/refusals.hpp"
#include "net/shared/session_holder.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class Handshakes {
 public:
  using Heard = std::function<void(const LinkListener& listener, HeardLink link)>;

  // `holder`: where other workers ask this one to make room. `heard` is called for each HELLO.
  Handshakes(WorkerContext& worker, SessionHolder& holder, Refusals& refusals, Heard heard)
      : worker_(worker), holder_(holder), refusals_(refusals), heard_(std::move(heard)) {}

  void begin(const std::shared_ptr<LinkListener>& listener, StreamSocket socket);
  // Aborts this handshake; does nothing when it is over.
  void make_room_for(Admission::Ticket ticket);

 private:
  void over(LinkListener& listener, const std::string& source, PendingLink::Outcome outcome);

  WorkerContext& worker_;
  SessionHolder& holder_;
  Refusals& refusals_;
  Heard heard_;
  std::unordered_map<Admission::Ticket, std::shared_ptr<PendingLink>> pending_;
};

}  // namespace backedpipe
