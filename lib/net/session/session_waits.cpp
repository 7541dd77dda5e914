// SessionDriver: its waits, as its pump requests them.
#include <chrono>
#include <utility>

#include "net/lasting_wait.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {
namespace {

using Direction = SessionPump::Direction;

Readiness::Kind kind_of(Direction direction) {
  return direction == Direction::read ? Readiness::Kind::read : Readiness::Kind::write;
}

}  // namespace

void SessionDriver::arm(const SessionPump::Interests& wanted) {
  if (wanted.application_read) wait_application(Direction::read);
  if (wanted.application_write) wait_application(Direction::write);
  // A wait for reading reports errors as well.
  if (wanted.application_error && !application_readiness_.waits(Readiness::Kind::read)) {
    wait_application_error();
  }
  if (wanted.link_read) wait_link(Direction::read);
  if (wanted.link_write) wait_link(Direction::write);
  if (wanted.memory) wait_for_memory();
  arm_timer(wanted.until);
}

void SessionDriver::wait_application(Direction direction) {
  application_readiness_.wait(application_.socket(), kind_of(direction),
                              [self = shared_from_this(), direction] {
                                self->pump_.application_ready(direction);
                                self->pump();
                              });
}

void SessionDriver::wait_application_error() {
  application_readiness_.wait(application_.socket(), Readiness::Kind::error,
                              [self = shared_from_this()] {
                                if (!self->pump_.application_open() || !self->application_.broken())
                                  return;
                                self->pump_.application_broken();
                                self->pump();
                              });
}

void SessionDriver::wait_link(Direction direction) {
  link_readiness_.wait(link_->socket(), kind_of(direction),
                       [self = shared_from_this(), direction, generation = link_generation_] {
                         self->pump_.link_ready(generation, direction);
                         self->pump();
                       });
}

void SessionDriver::wait_for_memory() {
  if (std::exchange(waiting_for_memory_, true)) return;
  worker_.memory_waiters().add([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->waiting_for_memory_ = false;
    self->pump();
  });
}

void SessionDriver::arm_timer(std::optional<TimePoint> due) {
  // A timer that fires early only looks and is set again: postponing it is not worth the system
  // calls.
  if (!due || (timer_at_ && *timer_at_ <= *due)) return;
  timer_at_ = due;
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(*due));
  timer_.async_wait(Lasting([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    self->timer_at_.reset();
    self->pump_.link_ready(self->link_generation_, Direction::read);
    self->pump();
  }));
}

}  // namespace backedpipe
