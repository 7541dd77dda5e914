#include "net/session/session_log.hpp"

#include <utility>

#include <boost/asio/error.hpp>

#include "net/clock.hpp"

namespace backedpipe {
namespace {

WallTime wall_now() {
  return std::chrono::system_clock::now();
}

// Why a link ended, as a word from a fixed set.
std::string link_end(const boost::system::error_code& error) {
  if (const auto reason = reason_of(error)) return std::string(name(*reason));
  if (error == boost::asio::error::eof) return "closed";
  if (error == boost::system::errc::timed_out) return "timed_out";
  if (error == boost::system::errc::connection_reset) return "reset";
  return "failed";
}

}  // namespace

SessionLog::SessionLog(const Session& session, EventFeed& events, SharedLabels::Labels labels,
                       std::string application)
    : session_(session),
      events_(events),
      labels_(std::move(labels)),
      application_(std::move(application)),
      opened_at_(steady_now()),
      created_at_(wall_now()),
      state_since_(created_at_) {}

SessionLog::Change SessionLog::look(const Transport* link) {
  const BackedPipe& pipe = session_.pipe();
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
  publish(let_go_ ? Event::Kind::takeover : Event::Kind::attach, seen_generation_,
          let_go_ ? "takeover"
          : away  ? "resume"
                  : "open",
          {}, away);
  attached_since_ = now;
  away_since_.reset();
}

void SessionLog::detached(std::uint64_t generation) {
  const auto& error = session_.pipe().last_error();
  const bool known = error && error->generation == generation;
  std::string reason = known ? link_end(error->error) : "takeover";
  // The two ends of one stream: a link that ends says "End of file", which tells a user nothing.
  std::string detail = !known ? "given up for a newer link"
                       : error->error == boost::asio::error::eof
                           ? "closed by the other side or the network"
                           : error->error.message();
  if (known) last_error_ = detail;
  let_go_ = !known;
  const TimePoint now = steady_now();
  away_since_ = now;
  history_.detached(wall_now(), reason, detail);
  publish(Event::Kind::detach, generation, std::move(reason), std::move(detail),
          now - attached_since_);
}

void SessionLog::ended(Reason reason) {
  publish(Event::Kind::close, session_.pipe().generation(), std::string(name(reason)), {},
          steady_now() - opened_at_);
}

void SessionLog::publish(Event::Kind kind, std::uint64_t generation, std::string reason,
                         std::string detail, std::optional<Duration> duration) {
  Event event;
  event.kind = kind;
  event.time = wall_now();
  event.session = session_.id();
  event.role = session_.role();
  event.generation = generation;
  event.tunnel = labels_->tunnel;
  event.service = session_.service();
  event.identity = labels_->identity;
  event.application = application_;
  event.link = link_address();
  event.bytes_in = bytes_in_;
  event.bytes_out = bytes_out_;
  event.links_count = session_.links();
  event.peer = labels_->peer;
  event.reason = std::move(reason);
  event.detail = std::move(detail);
  event.duration = duration;
  events_.publish(std::move(event));
}

void SessionLog::add_to(SessionTotals& totals) const {
  totals.bytes_in += bytes_in_;
  totals.bytes_out += bytes_out_;
  totals.replayed_bytes += session_.pipe().replayed_bytes();
}

LogSubject SessionLog::log_subject(std::uint64_t generation, std::string_view reason) const {
  return {.session = session_.id(),
          .generation = generation,
          .tunnel = labels_->tunnel,
          .service = session_.service(),
          .peer = labels_->peer,
          .identity = labels_->identity,
          .reason = reason};
}

}  // namespace backedpipe
