// EventFeed: tells the log, the control socket and the metrics what happens. One for each worker,
// on its thread; what listens is there as long as the feed, or longer than anything is published.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "control/event.hpp"

namespace backedpipe {

class EventFeed {
 public:
  using Listener = std::function<void(const Event&)>;

  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }

  void publish(const Event& event) const {
    for (const Listener& listener : listeners_)
      listener(event);
  }

 private:
  std::vector<Listener> listeners_;
};

}  // namespace backedpipe
