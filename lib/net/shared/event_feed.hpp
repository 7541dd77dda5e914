// EventFeed: tells the log, the control socket and the metrics what happens. One for the process;
// whatever thread something happens on publishes it. What listens is there as long as the feed, and
// longer than anything is published.
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

  // `home` is where listen() is called and its listeners are.
  explicit EventFeed(boost::asio::io_context& home) : home_(home), pause_(home) {}

  // Hears each event a little later, on the thread of `home`, in the order in which they happened
  // on their threads.
  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }
  // Hears each event at once, on the thread on which it happens. Before anything is published.
  void listen_at_once(Listener listener) { at_once_.push_back(std::move(listener)); }

  void publish(Event event) EXCLUDES(mutex_);
  // Has those that still wait heard now. On the thread of `home`.
  void deliver() EXCLUDES(mutex_);

 private:
  enum class State : std::uint8_t {
    asleep,   // nothing waits to be heard
    pausing,  // home looks in a moment
    called,   // home looks as soon as it can
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
