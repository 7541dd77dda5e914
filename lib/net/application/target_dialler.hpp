// TargetDialler: dials the target of a session and gives the session its socket, or resets the
// session with target_refused. If this daemon itself lacks descriptors, it dials again. Any session
// can have a target, whichever side dials its links. One per worker, on its thread.
#pragma once

#include <memory>

#include "config/address.hpp"
#include "net/session/session_driver.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class TargetDialler {
 public:
  explicit TargetDialler(WorkerContext& worker) : worker_(worker) {}

  // The outcome goes to the session, later. A dial under way keeps the session alive and does not
  // need this object.
  void dial(const std::shared_ptr<SessionDriver>& session, const Address& target);

 private:
  WorkerContext& worker_;
};

}  // namespace backedpipe
