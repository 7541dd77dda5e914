#include "net/shared/event_feed.hpp"

#include <chrono>

#include <boost/asio/post.hpp>

namespace backedpipe {
namespace {

// After an event those of other threads wait so long to be told together: waking one for each of
// thousands a second costs more than what it then does. Nobody notices it, and an event that comes
// alone does not wait.
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
  // First: whatever a listener does, the next ones are heard.
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
