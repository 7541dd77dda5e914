#include "net/shared/event_feed.hpp"

#include <chrono>

#include <boost/asio/post.hpp>

namespace backedpipe {
namespace {

// After a delivery, events from other threads wait this long to be delivered together: with
// thousands a second, waking `home` for each would cost more than delivering it. The delay is too
// short to notice, and a single event does not wait.
constexpr auto kPause = std::chrono::milliseconds(2);

}  // namespace

void EventFeed::publish(Event event) {
  for (const Listener& listener : at_once_)
    listener(event);
  const MutexLock lock(mutex_);
  waiting_.push_back(std::move(event));
  const bool nobody_to_wake = home_.get_executor().running_in_this_thread();
  if (state_ == State::called || (state_ == State::pausing && !nobody_to_wake)) return;
  boost::asio::post(home_, [this] { deliver(); });
  state_ = State::called;
}

void EventFeed::deliver() {
  std::vector<Event> events;
  {
    const MutexLock lock(mutex_);
    events.swap(waiting_);
    state_ = events.empty() ? State::asleep : State::pausing;
  }
  if (events.empty()) return;
  // Before the listeners run, so that an exception in one cannot stop later deliveries.
  pause_.expires_after(kPause);
  pause_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) deliver();
  });
  for (const Event& event : events) {
    for (const Listener& listener : listeners_)
      listener(event);
  }
}

}  // namespace backedpipe
