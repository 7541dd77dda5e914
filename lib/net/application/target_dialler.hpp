// TargetDialler: dials the target of a session and gives the session its socket, or resets the
// session with target_refused. If this daemon itself lacks descriptors, it dials again. The dial of
// a session that ends is broken off: it would go on to hold a descriptor. Any session can have a
// target, whichever side dials its links. One per worker, on its thread.
#pragma once

#include <memory>
#include <unordered_map>

#include "config/address.hpp"
#include "net/session/session_driver.hpp"
#include "net/session/session_table.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class TargetDialler {
 public:
  // `sessions` has all sessions whose targets are dialled here.
  TargetDialler(WorkerContext& worker, SessionTable& sessions);

  // The outcome goes to the session, later. A dial under way keeps the session alive and does not
  // need this object.
  void dial(const std::shared_ptr<SessionDriver>& session, const Address& target);

 private:
  class Dial;

  WorkerContext& worker_;
  std::unordered_map<SessionId, std::weak_ptr<Dial>> dials_;  // of sessions that have not ended
};

}  // namespace backedpipe
