#include "net/session/session_driver.hpp"

#include <utility>

#include <boost/asio/post.hpp>

#include "net/clock.hpp"
#include "net/link/graceful_close.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {

using Direction = SessionPump::Direction;

SessionDriver::SessionDriver(WorkerContext& worker, const Links& links, SessionObserver& observer,
                             const Session::Identity& identity, SharedLabels::Labels labels,
                             std::string application, const Recovered* recovered)
    : worker_(worker),
      links_(links),
      observer_(observer),
      pump_(identity, worker.pump_memory(), worker.session_options(), worker.random(), steady_now(),
            record_of(worker, identity, *labels, recovered)),
      log_(pump_, worker.events(), std::move(labels), std::move(application)),
      application_(worker.io()),
      timer_(worker.io()) {}

// --- for its owner

void SessionDriver::connect_application(StreamSocket socket, FirstWord first_word) {
  if (pump_.over() || session().application_done()) {
    // The session ended while its target was dialled. Closing would show the target a clean end.
    return ApplicationSocket(std::move(socket)).reset();
  }
  application_.connect(std::move(socket));
  keep_connection();
  invariant(pump_.connect_application(application_, first_word));
  pump();
}

void SessionDriver::resume() {
  pump_.session().start(steady_now());
  pump();
}

void SessionDriver::start() {
  pump_.session().start(steady_now());
  pump();
}

bool SessionDriver::reconnect() {
  const bool possible = pump_.session().reconnect(steady_now());
  pump();
  return possible;
}

void SessionDriver::reset(Reason reason) {
  pump_.session().reset(reason);
  pump();
}

void SessionDriver::park(Duration grace) {
  log_.parked();
  pump_.park(grace, steady_now());
  pump();
}

void SessionDriver::abandon() {
  if (std::exchange(finished_, true)) return;
  timer_.cancel();
  if (links_.supply != nullptr) links_.supply->give_up(*this, session().pipe().generation());
  // Pending waits may keep this object alive after the worker's memory is gone.
  pump_.abandon();
  close_gracefully(std::move(link_));
}

void SessionDriver::distrust() {
  pump_.distrust(steady_now());
  pump();
}

void SessionDriver::ask() {
  pump_.session().ask(steady_now());
  pump();
}

void SessionDriver::try_now() {
  pump_.session().try_now(steady_now());
  pump();
}

// --- links

std::optional<Hello> SessionDriver::begin_handshake(std::uint64_t generation) {
  pump_.link_ready(link_generation_, Direction::read);
  pump();
  if (finished_) return std::nullopt;
  const auto hello = pump_.begin_handshake(generation, steady_now());
  pump();
  return hello;
}

void SessionDriver::welcomed(std::unique_ptr<Transport> link, const Welcome& welcome,
                             ConstBytes early) {
  if (pump_.welcomed(*link, welcome, early, steady_now())) {
    adopt(std::move(link), welcome.generation);
  }
  pump();
}

void SessionDriver::refused(std::uint64_t generation, const Refused& refused) {
  log_.refused(generation, refused);
  pump_.session().refused(generation, refused.reason, steady_now());
  pump();
}

void SessionDriver::attempt_failed(std::uint64_t generation, bool rejected,
                                   const std::string& why) {
  log_.attempt_failed(generation, rejected, why);
  pump_.session().attempt_failed(generation, rejected, steady_now());
  pump();
}

void SessionDriver::attempt_void(std::uint64_t generation, const std::string& why) {
  log_.attempt_void(generation, why);
  pump_.session().attempt_void(generation, steady_now());
  pump();
}

std::optional<SessionDriver::NotAttached> SessionDriver::attach(std::unique_ptr<Transport> link,
                                                                const Hello& hello, bool created,
                                                                ConstBytes early) {
  const auto attached = pump_.attach(*link, hello, created, early, steady_now());
  if (!attached) {
    pump_later();
    return NotAttached{std::move(link), attached.error()};
  }
  adopt(std::move(link), hello.generation);
  pump();
  return std::nullopt;
}

void SessionDriver::adopt(std::unique_ptr<Transport> link, std::uint64_t generation) {
  link_ = std::move(link);
  link_generation_ = generation;
  link_readiness_.renew();
  // Reported now, because the link may be lost again before the next pump returns.
  tell_state();
}

std::string SessionDriver::link_address() const {
  return link_ ? log_.link_address() : std::string();
}

std::optional<boost::asio::ip::address> SessionDriver::local_address() const {
  return link_ ? local_ip(link_->socket()) : std::nullopt;
}

// --- work

void SessionDriver::pump() {
  if (finished_) return;
  const SessionPump::Interests wanted = pump_.pump(&steady_now);
  while (const auto action = pump_.next_action()) {
    execute(*action);
    if (finished_) return;
  }
  tell_state();
  if (wanted.again) pump_later();
  arm(wanted);
}

void SessionDriver::pump_later() {
  if (std::exchange(pump_posted_, true)) return;
  boost::asio::post(worker_.io(), [self = shared_from_this()] {
    self->pump_posted_ = false;
    self->pump();
  });
}

void SessionDriver::execute(const SessionPump::Action& action) {
  switch (action.kind) {
    case SessionPump::Action::Kind::connect:
      return links_.supply->connect(shared_from_this(), action.generation);
    case SessionPump::Action::Kind::stop_attempt:
      return links_.supply->give_up(*this, action.generation);
    case SessionPump::Action::Kind::close_link:
      return close_link(action);
    case SessionPump::Action::Kind::application_failed:
      return log_.application_failed(action.error);
    case SessionPump::Action::Kind::application_reset:
      return log_.application_reset(action.reason);
    case SessionPump::Action::Kind::ended:
      return end(action.reason);
  }
}

void SessionDriver::close_link(const SessionPump::Action& action) {
  // The link was replaced by a newer one and is closed already.
  if (!link_ || action.generation != link_generation_) return;
  std::unique_ptr<Transport> link = std::move(link_);
  switch (action.fate) {
    case SessionPump::LinkFate::abrupt:
      return;
    case SessionPump::LinkFate::graceful:
      return close_gracefully(std::move(link));
    case SessionPump::LinkFate::reuse: {
      boost::system::error_code ignored;
      link->socket().cancel(ignored);
      return links_.keeper.released(std::move(link), *this);
    }
  }
}

void SessionDriver::end(Reason reason) {
  tell_state();
  finished_ = true;
  timer_.cancel();
  log_.ended(reason);
  observer_.ended(*this, reason);
}

void SessionDriver::tell_state() {
  const SessionLog::Change change = log_.look(link_.get());
  if (change.detached) observer_.detached(*this);
  if (change.attached) observer_.attached(*this);
}

}  // namespace backedpipe
