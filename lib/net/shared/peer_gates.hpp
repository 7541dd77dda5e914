// PeerGates: the gate of each peer, by name. A gate is made when the first worker asks for it and
// exists as long as any worker needs it. One for the process, used from any thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "net/shared/mutex.hpp"
#include "net/shared/shared_gate.hpp"

namespace backedpipe {

class PeerGates {
 public:
  PeerGates(boost::asio::io_context& home, EventFeed& events) : home_(home), events_(events) {}

  std::shared_ptr<SharedGate> of(const std::string& peer, std::uint64_t seed) {
    const MutexLock lock(mutex_);
    std::weak_ptr<SharedGate>& known = gates_[peer];
    std::shared_ptr<SharedGate> gate = known.lock();
    if (!gate) {
      gate = std::make_shared<SharedGate>(home_, events_, peer, seed);
      known = gate;
    }
    return gate;
  }

  // The network has changed; see PeerGate.
  void kick_all() {
    const MutexLock lock(mutex_);
    for (const auto& [name, known] : gates_) {
      if (const auto gate = known.lock()) gate->kick();
    }
  }

 private:
  boost::asio::io_context& home_;
  EventFeed& events_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<SharedGate>> gates_ GUARDED_BY(mutex_);
};

}  // namespace backedpipe
