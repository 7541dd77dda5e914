#include "net/session/session_log.hpp"

#include <utility>

#include <boost/system/errc.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"

namespace backedpipe {
namespace {

// Why a link ended, as a word from a fixed set.
std::string link_end(const boost::system::error_code& error) {
  const auto reason = reason_of(error);
  if (reason == Reason::shutting_down) return "parted";
  if (reason) return std::string(name(*reason));
  if (!error) return "closed";
  if (error == boost::system::errc::timed_out) return "timed_out";
  if (error == boost::system::errc::connection_reset) return "reset";
  return "failed";
}

// The same for people.
std::string detail_of(const boost::system::error_code& error, const Session& session) {
  if (!error) return "closed by the other side or the network";
  if (reason_of(error) != Reason::shutting_down) return error.message();
  if (session.parked()) return "this daemon ends, and the next one goes on";
  const auto grace = std::chrono::duration_cast<std::chrono::seconds>(*session.grace());
  return "the other daemon ends, and may be back within " + std::to_string(grace.count()) + " s";
}

// The other system is gone, as far as TCP can tell.
bool is_silence(const boost::system::error_code& error) {
  return error == boost::system::errc::timed_out ||
         error == boost::system::errc::host_unreachable ||
         error == boost::system::errc::network_unreachable;
}

}  // namespace

SessionLog::SessionLog(const SessionPump& pump, EventFeed& events, SharedLabels::Labels labels,
                       std::string application)
    : pump_(pump),
      events_(events),
      labels_(std::move(labels)),
      application_(std::move(application)),
      opened_at_(steady_now()),
      created_at_(wall_now()),
      state_since_(created_at_) {}

void SessionLog::restored(std::uint64_t created_at, std::uint64_t restores) {
  created_at_ = wall_time(created_at);
  restores_ = restores;
  restored_at_ = wall_now();
  away_since_ = opened_at_;
  publish(Event::Kind::restored);
}

void SessionLog::refused(std::uint64_t generation, const Refused& refused) {
  last_error_ = "refused: " + std::string(name(refused.reason));
  const LogContext context(log_subject(generation, name(refused.reason)));
  spdlog::warn("session {} generation {}: refused by the server: {}{}{}", to_string(session().id()),
               generation, name(refused.reason), refused.text.empty() ? "" : ": ", refused.text);
}

void SessionLog::attempt_failed(std::uint64_t generation, bool rejected, const std::string& why) {
  // One line when a peer becomes unreachable, not one per attempt.
  if (last_error_ != why) {
    const LogContext context(log_subject(generation, {}));
    spdlog::log(rejected ? spdlog::level::warn : spdlog::level::info,
                "session {} generation {}: no link: {}", to_string(session().id()), generation,
                why);
  }
  last_error_ = why;
}

void SessionLog::attempt_void(std::uint64_t generation, const std::string& why) const {
  spdlog::debug("session {} generation {}: no link: {}", to_string(session().id()), generation,
                why);
}

void SessionLog::application_failed(const boost::system::error_code& error) const {
  const LogContext context(log_subject(0, {}));
  if (is_silence(error)) {
    spdlog::info("session {}: {} does not answer any more: {}", to_string(session().id()),
                 session().role() == Role::client ? "its application" : "its target",
                 error.message());
    return;
  }
  spdlog::debug("session {}: application: {}", to_string(session().id()), error.message());
}

void SessionLog::application_reset(Reason reason) {
  last_error_ = name(reason);
}

SessionLog::Change SessionLog::look(const Transport* link) {
  const BackedPipe& pipe = session().pipe();
  const PipeState state = pipe.state();
  const bool same_link = seen_generation_ == pipe.generation();
  if (state == seen_state_ && (same_link || state != PipeState::connected)) return {};
  const bool was_connected = seen_state_ == PipeState::connected;
  if (state != seen_state_) state_since_ = wall_now();
  const std::uint64_t lost = std::exchange(seen_generation_, pipe.generation());
  seen_state_ = state;

  Change change;
  if (was_connected && state != PipeState::closed) {
    detached(lost);
    change.detached = state != PipeState::connected;
  }
  if (state == PipeState::connected) {
    attached(link);
    change.attached = true;
  }
  return change;
}

void SessionLog::attached(const Transport* link) {
  const TimePoint now = steady_now();
  std::optional<Duration> away;
  if (away_since_) away = now - *away_since_;
  history_.attached({.generation = seen_generation_,
                     .address = link != nullptr ? remote_address(link->socket()) : std::string(),
                     .attached_at = wall_now(),
                     .away = away});
  publish(replaced_ ? Event::Kind::takeover : Event::Kind::attach, seen_generation_,
          replaced_ ? "takeover"
          : away    ? "resume"
                    : "open",
          {}, away);
  attached_since_ = now;
  away_since_.reset();
}

void SessionLog::detached(std::uint64_t generation) {
  const auto& error = session().pipe().last_error();
  const bool known = error && error->generation == generation;
  std::string reason = known ? link_end(error->error) : "takeover";
  std::string detail = known ? detail_of(error->error, session()) : "given up for a newer link";
  if (known) last_error_ = detail;
  replaced_ = !known;
  const TimePoint now = steady_now();
  away_since_ = now;
  history_.detached(wall_now(), reason, detail);
  publish(Event::Kind::detach, generation, std::move(reason), std::move(detail),
          now - attached_since_);
}

void SessionLog::ended(Reason reason) {
  publish(Event::Kind::close, session().pipe().generation(), std::string(name(reason)), {},
          steady_now() - opened_at_);
}

void SessionLog::publish(Event::Kind kind, std::uint64_t generation, std::string reason,
                         std::string detail, std::optional<Duration> duration) {
  Event event;
  event.kind = kind;
  event.time = wall_now();
  event.session = session().id();
  event.role = session().role();
  event.generation = generation;
  event.tunnel = labels_->tunnel;
  event.service = session().service();
  event.identity = labels_->identity;
  event.application = application_;
  event.link = link_address();
  event.bytes_in = bytes_in();
  event.bytes_out = bytes_out();
  event.links_count = session().links();
  event.peer = labels_->peer;
  event.reason = std::move(reason);
  event.detail = std::move(detail);
  event.duration = duration;
  events_.publish(std::move(event));
}

void SessionLog::add_to(SessionTotals& totals) const {
  totals.bytes_in += bytes_in();
  totals.bytes_out += bytes_out();
  totals.replayed_bytes += session().pipe().replayed_bytes();
}

LogSubject SessionLog::log_subject(std::uint64_t generation, std::string_view reason) const {
  return {.session = session().id(),
          .generation = generation,
          .tunnel = labels_->tunnel,
          .service = session().service(),
          .peer = labels_->peer,
          .identity = labels_->identity,
          .reason = reason};
}

}  // namespace backedpipe
