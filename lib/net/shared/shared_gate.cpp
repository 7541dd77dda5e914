#include "net/shared/shared_gate.hpp"

#include <chrono>
#include <utility>

#include <boost/asio/post.hpp>

#include "net/clock.hpp"

namespace backedpipe {

SharedGate::SharedGate(boost::asio::io_context& home, EventFeed& events, std::string peer,
                       std::uint64_t seed)
    : home_(home),
      events_(events),
      peer_(std::move(peer)),
      spares_(std::make_shared<SpareLinks>(home)),
      gate_(seed),
      timer_(home) {}

void SharedGate::request(const SessionId& session, boost::asio::io_context& io, Told told) {
  const MutexLock lock(mutex_);
  askers_[session] = {&io, std::move(told), std::nullopt};
  gate_.request(session);
  settle();
}

void SharedGate::withdraw(const SessionId& session, Withdrawal why) {
  const MutexLock lock(mutex_);
  if (askers_.erase(session) == 0) return;
  if (why == Withdrawal::link_answers) gate_.alive(steady_now());
  gate_.withdraw(session);
  settle();
}

void SharedGate::kick() {
  const MutexLock lock(mutex_);
  gate_.kick(steady_now());
  settle();
}

bool SharedGate::answered(const SessionId& session, Dial dial) {
  const MutexLock lock(mutex_);
  if (!is_current(session, dial)) return false;
  gate_.answered(session, steady_now());
  settle();
  return true;
}

void SharedGate::struggling(const SessionId& session, Dial dial, const std::string& why) {
  const MutexLock lock(mutex_);
  if (!is_current(session, dial)) return;
  gate_.struggling(session, why, steady_now());
  settle();
}

bool SharedGate::failed(const SessionId& session, Dial dial, const std::string& why) {
  const MutexLock lock(mutex_);
  const auto asker = askers_.find(session);
  if (asker == askers_.end()) return false;
  // The dial was broken off meanwhile: the session already waits at the gate.
  if (asker->second.dial != dial) return true;
  const bool waits = gate_.failed(session, why, steady_now());
  if (waits) {
    asker->second.dial.reset();
  } else {
    askers_.erase(asker);
  }
  settle();
  return waits;
}

void SharedGate::rejected(const std::string& why) {
  const MutexLock lock(mutex_);
  rejection_ = why;
}

void SharedGate::accepted() {
  const MutexLock lock(mutex_);
  rejection_.clear();
}

void SharedGate::alive() {
  const MutexLock lock(mutex_);
  gate_.alive(steady_now());
  settle();
}

SharedGate::View SharedGate::view() const {
  const MutexLock lock(mutex_);
  return {gate_.state(),      gate_.last_error(), rejection_,      gate_.probing(),
          gate_.next_probe(), gate_.waiting(),    gate_.dialling()};
}

bool SharedGate::is_current(const SessionId& session, Dial dial) const {
  const auto found = askers_.find(session);
  return found != askers_.end() && found->second.dial == dial;
}

// Carries out what the gate decided. The lock is held, so that posts keep the order of decisions.
void SharedGate::settle() {
  while (const auto action = gate_.next_action(steady_now())) {
    const auto asker = askers_.find(action->session);
    if (asker == askers_.end()) continue;
    asker->second.dial.reset();
    if (action->kind == PeerGate::Action::Kind::dial) asker->second.dial = Dial{++dial_count_};
    boost::asio::post(*asker->second.io,
                      [told = asker->second.told, dial = asker->second.dial] { told(dial); });
  }
  tell();
  arm();
}

// One event when a peer becomes unreachable and one when it is back, for all of its sessions.
void SharedGate::tell() {
  const PeerGate::State before = std::exchange(known_, gate_.state());
  if (known_ == before) return;
  Event event;
  event.time = std::chrono::system_clock::now();
  event.peer = peer_;
  if (known_ == PeerGate::State::down) {
    event.kind = Event::Kind::peer_down;
    event.reason = "unreachable";
    event.detail = gate_.last_error();
  } else if (before == PeerGate::State::down) {
    event.kind = Event::Kind::peer_up;
    event.duration = steady_now() - gate_.down_since();
  } else {
    return;
  }
  events_.publish(event);
}

void SharedGate::arm() {
  const auto due = gate_.deadline();
  if (due == timer_at_) return;
  timer_at_ = due;
  boost::asio::post(home_, [self = shared_from_this(), due] {
    self->timer_.cancel();
    if (!due) return;
    self->timer_.expires_at(
        std::chrono::time_point_cast<std::chrono::steady_clock::duration>(*due));
    self->timer_.async_wait([self](const boost::system::error_code& error) {
      if (error) return;
      const MutexLock lock(self->mutex_);
      self->timer_at_.reset();
      self->settle();
    });
  });
}

}  // namespace backedpipe
