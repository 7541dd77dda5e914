// EventFeed: tells the log, the control socket and the metrics about events. One for the process;
// events are published from any thread. Listeners must live as long as the feed, and outlive every
// publisher.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "control/event.hpp"
#include "net/shared/mutex.hpp"
#include "net/timer.hpp"

namespace backedpipe {

class EventFeed {
 public:
  using Listener = std::function<void(const Event&)>;

  // `home`: the thread that calls listen() and its listeners.
  explicit EventFeed(boost::asio::io_context& home) : home_(home), pause_(home) {}

  // The listener hears each event shortly after, on the thread of `home`; events from one thread
  // keep their order.
  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }
  // The listener hears each event at once, on the publishing thread. Add it before the first event.
  void listen_at_once(Listener listener) { at_once_.push_back(std::move(listener)); }

  void publish(Event event) EXCLUDES(mutex_);
  // Delivers the waiting events now. Call on the thread of `home`.
  void deliver() EXCLUDES(mutex_);

 private:
  enum class State : std::uint8_t {
    asleep,   // no events wait
    pausing,  // home delivers after the pause
    called,   // home delivers as soon as it can
  };

  boost::asio::io_context& home_;
  std::vector<Listener> at_once_;
  std::vector<Listener> listeners_;
  Timer pause_;

  Mutex mutex_;
  std::vector<Event> waiting_ GUARDED_BY(mutex_);
  State state_ GUARDED_BY(mutex_) = State::asleep;
};

}  // namespace backedpipe
