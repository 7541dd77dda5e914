#include "session/session.hpp"

#include <algorithm>
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

using Kind = Session::Action::Kind;
using Phase = Session::Phase;
using ServerKnows = DiallingSide::ServerKnows;

std::uint64_t nanoseconds(TimePoint moment) {
  return static_cast<std::uint64_t>(moment.time_since_epoch().count());
}

// A link that lasted this long counts as useful, whatever it carried.
constexpr Duration kLasting = std::chrono::seconds(1);

// The arrows of the diagram in the header.
bool may_follow(Phase from, Phase to) {
  switch (to) {
    case Phase::opening:
      return false;
    case Phase::open:
      return from == Phase::opening;
    case Phase::lingering:
      return from == Phase::open;
    case Phase::resetting:
      return from == Phase::opening || from == Phase::open || from == Phase::lingering;
    case Phase::over:
      return from != Phase::over;
  }
  return false;
}

}  // namespace

Session::Session(Identity identity, const PipePools& pools, const SessionOptions& options,
                 std::uint64_t seed, TimePoint now, LedgerEntry ledger)
    : identity_(std::move(identity)),
      resume_timeout_(options.resume_timeout),
      pipe_(pools, options.pipe, std::move(ledger)),
      liveness_(options.liveness),
      reuse_links_(options.reuse_links),
      confirmed_(identity_.role == Role::client),
      detached_since_(now) {
  if (identity_.role == Role::client) {
    dialling_.emplace(DiallingSide{.reconnector = Reconnector(seed)});
  }
}

void Session::enter(Phase phase) {
  invariant(may_follow(phase_, phase));
  phase_ = phase;
}

// --- the application's side

void Session::delivered(std::size_t count, TimePoint now) {
  pipe_.delivered(count, now);
  settle();
}

void Session::end_delivered(TimePoint now) {
  pipe_.end_delivered(now);
  settle();
}

void Session::reset(Reason reason) {
  if (over() || resetting()) return;
  if (reason == Reason::application_reset) {
    ledger().resetting_application(reason);
    application_reset_ = true;
  } else {
    reset_application(reason);
  }
  pipe_.reset(reason);
  settle();
}

bool Session::application_done() const {
  return application_reset_ || over() || pipe_.done();
}

// --- links, on the accepting side

Result<Welcome> Session::attach(const Hello& hello, bool created, TimePoint now) {
  // The session is over, but its owner has not been told yet.
  if (over()) return pipe_.reset_reason().value_or(Reason::expired);
  if (parked_) return Reason::shutting_down;
  const bool replaces = pipe_.state() == PipeState::connected;
  const std::uint64_t older = pipe_.generation();
  const auto attached = pipe_.attach(hello.generation, hello.position, now);
  if (!attached) {
    const auto reason = reason_of(attached.error());
    if (reason == Reason::future_sequence || reason == Reason::replay_unavailable) {
      fail(*reason);
    }
    return attached.error();
  }
  if (!hello.open) confirm();
  if (replaces) actions_.push_back({Kind::close_link, older});
  const Extensions agreed = hello.offers & known();
  on_attached(agreed, now);
  return Welcome{.session = identity_.id,
                 .generation = hello.generation,
                 .position = pipe_.take_position(),
                 .created = created,
                 .accepts = agreed};
}

// --- links, on both sides

void Session::confirm() {
  confirmed_ = true;
  ledger().confirmed();
}

void Session::on_attached(Extensions agreed, TimePoint now) {
  ledger().links(++links_);
  ledger().attached();
  link_ = {.attached_at = now, .agreed = agreed, .progress_before = progress()};
  detached_since_.reset();
  grace_.reset();
  if (dials()) dialling_->reconnector.stop();
  if (phase_ == Phase::opening) enter(Phase::open);
  settle();
}

void Session::on_detached(TimePoint now) {
  if (dials() && !young(now)) dialling_->fruitless_links = 0;
  link_ = {};
  detached_since_ = now;
  record_detached();
}

void Session::record_detached() {
  ledger().detached(nanoseconds(*detached_since_));
  if (grace_) ledger().grace(static_cast<std::uint64_t>(grace_->count()));
}

std::size_t Session::receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                             std::size_t placed) {
  if (over() || pipe_.state() != PipeState::connected || generation != pipe_.generation()) {
    return bytes.size();
  }
  const std::uint64_t progress_before = progress();
  const auto asked_at = pipe_.ping_asked_at();
  const auto taken = pipe_.receive(generation, bytes, now, placed);
  if (taken) {
    if (bytes.size() + placed > 0) confirm();
    // Other bytes prove less. When the network is back, the peer's TCP may retransmit old bytes
    // seconds before ours does. The PONG shows that both directions work, even if it comes after
    // the next PING was sent.
    const bool answered = !pipe_.ping_asked_at() || pipe_.ping_asked_at() != asked_at;
    // A link that ends needs no trust, and the candidate beside it is the next one.
    if ((answered && !pipe_.parting_received()) || pipe_.reset_received()) trust_again();
    // Only data and acknowledgements are progress. Otherwise a server that closes each link after a
    // PING could make its client dial without a pause.
    if (dials() && progress() > progress_before) {
      dialling_->reconnector.useful();
      if (fruitful()) dialling_->fruitless_links = 0;
    }
    if (pipe_.reset_received()) on_reset_received();
    settle();
    if (pipe_.parting_received()) on_parting_received(now);
    return *taken;
  }
  if (pipe_.violates_session()) {
    fail(reason_of(taken.error()).value_or(Reason::protocol_error));
  } else {
    lose_link(LinkError::Component::reader, taken.error(), now);
  }
  return bytes.size();
}

void Session::sent(std::uint64_t generation, std::size_t count) {
  pipe_.sent(generation, count);
  settle();
}

void Session::link_lost(const LinkError& error, TimePoint now) {
  const bool fell_silent = dials() && error.error == boost::system::errc::timed_out;
  const bool was_fruitless = fell_silent && !over() && fruitless(now);
  if (over() || !pipe_.detach(error)) return;
  if (was_fruitless) ++dialling_->fruitless_links;
  const bool lasted =
      *pipe_.last_received_at() > link_.attached_at && now >= link_.attached_at + kLasting;
  // A suspect link has a candidate, or a pause before the next one: either goes on.
  const bool wanted = link_.suspect;
  on_detached(now);
  if (dials()) {
    const auto reason = reason_of(error.error);
    if (reason && reason != Reason::shutting_down) {
      // The peer sent something that is not a frame. A server that always does so must not be
      // dialled without a pause.
      dialling_->reconnector.useless();
    } else if (lasted) {
      dialling_->reconnector.useful();
    }
    if (!wanted) dialling_->reconnector.want(now);
  }
  settle();
  if (!over()) advance(now);
}

void Session::lose_link(LinkError::Component component, boost::system::error_code error,
                        TimePoint now) {
  const std::uint64_t generation = pipe_.generation();
  actions_.push_back({Kind::close_link, generation});
  link_lost({component, generation, error}, now);
}

// --- parting

void Session::park(Duration grace, TimePoint now) {
  if (over() || parked_) return;
  parked_ = true;
  if (dials()) {
    dialling_->reconnector.stop();
    if (pipe_.state() == PipeState::reconnecting) give_up_attempt(pipe_.generation());
    if (const auto candidate = pipe_.candidate()) give_up_attempt(*candidate);
  }
  if (pipe_.state() != PipeState::connected) return;
  if (link_.agreed.parting) {
    pipe_.part(grace);
  } else {
    lose_link(LinkError::Component::writer, Reason::shutting_down, now);
  }
}

void Session::on_parting_received(TimePoint now) {
  if (over()) return;
  if (!link_.agreed.parting) {
    return lose_link(LinkError::Component::reader, Reason::protocol_error, now);
  }
  grace_ = pipe_.parting_received();
  lose_link(LinkError::Component::reader, Reason::shutting_down, now);
}

// --- the end

void Session::on_reset_received() {
  const Reason reason = *pipe_.reset_received();
  if (!dials()) {
    // A RESET is the answer, so that the client can forget the session.
    if (!resetting()) fail(reason);
    return;
  }
  if (resetting()) {
    end(*pipe_.reset_reason());
  } else if (reason == Reason::closed && pipe_.done()) {
    end(Reason::closed);
  } else {
    fail_application(reason);
  }
}

// Enters the phase that follows from the state of the pipe, and ends the session when it is over.
void Session::settle() {
  if (over()) return;
  if (phase_ == Phase::open && pipe_.done() && !resetting()) {
    if (dials()) {
      enter(Phase::lingering);
    } else {
      pipe_.reset(Reason::closed);
    }
  }
  if (!resetting()) return;
  if (phase_ != Phase::resetting) enter(Phase::resetting);
  // A server that has never heard of the session need not hear of its end.
  const bool told = dials() ? dialling_->server_knows == ServerKnows::no
                            : pipe_.reset_sent() || pipe_.state() != PipeState::connected;
  if (told) end(*pipe_.reset_reason());
}

// Something makes it impossible to continue the session.
void Session::fail(Reason reason) {
  reset_application(reason);
  pipe_.reset(reason);
  settle();
}

void Session::reset_application(Reason reason) {
  if (application_reset_ || pipe_.done()) return;
  ledger().resetting_application(reason);
  application_reset_ = true;
  actions_.push_back({Kind::reset_application, 0, reason});
}

void Session::end(Reason reason) {
  if (over()) return;
  enter(Phase::over);
  link_.reusable = link_.agreed.reuse && reason == Reason::closed && pipe_.link_at_rest();
  if (pipe_.state() == PipeState::connected) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
  } else if (pipe_.state() == PipeState::reconnecting) {
    actions_.push_back({Kind::stop_attempt, pipe_.generation()});
  }
  if (dials()) dialling_->reconnector.stop();
  actions_.push_back({Kind::ended, 0, reason});
}

void Session::abandon() {
  if (!over()) enter(Phase::over);
  actions_ = {};
  pipe_.close();
}

// --- time and actions

std::optional<TimePoint> Session::deadline(TimePoint now) const {
  if (over() || parked_) return std::nullopt;
  std::optional<TimePoint> due =
      earlier(pipe_.deadline(), liveness_.deadline(pipe_, now, fruitless_links()));
  if (wants_attempt()) due = earlier(due, next_attempt());
  return earlier(due, expires_at());
}

// When the session has been without a link for too long.
std::optional<TimePoint> Session::expires_at() const {
  if (!detached_since_) return std::nullopt;
  Duration lives = resume_timeout_;
  if (!confirmed_) lives = std::min(lives, kUnconfirmedTime);
  if (grace_) lives = std::min(lives, *grace_);
  return *detached_since_ + lives;
}

void Session::tick(TimePoint now, TcpWitness* tcp) {
  if (parked_) {
    if (!pipe_.parting_sent()) return;
    grace_ = pipe_.parting_sent();
    return lose_link(LinkError::Component::writer, Reason::shutting_down, now);
  }
  if (doubts(now)) ask_tcp(now, tcp);
  advance(now);
}

// Does what is due.
void Session::advance(TimePoint now) {
  if (over() || parked_) return;
  if (const auto expires = expires_at(); expires && now >= *expires) {
    reset_application(Reason::expired);
    end(Reason::expired);
    return;
  }
  pipe_.tick(now);
  // If the call is late, the PING and the suspicion may be due together.
  if (liveness_.judge(pipe_, now, fruitless_links()) == Liveness::Verdict::ask) pipe_.ping(now);
  switch (liveness_.judge(pipe_, now, fruitless_links())) {
    case Liveness::Verdict::alive:
    case Liveness::Verdict::ask:
      break;
    case Liveness::Verdict::suspect:
      become_suspect(now);
      break;
    case Liveness::Verdict::dead:
      lose_link(LinkError::Component::reader, make_error_code(boost::system::errc::timed_out), now);
      return;
  }
  const auto next = next_attempt();
  if (wants_attempt() && next && now >= *next) {
    begin_attempt(pipe_.state() == PipeState::connected ? pipe_.connect_beside() : pipe_.connect());
  }
}

std::optional<Session::Action> Session::next_action() {
  if (actions_.empty()) return std::nullopt;
  const Action action = actions_.front();
  actions_.erase(actions_.begin());
  if (actions_.empty()) actions_.shrink_to_fit();
  // Not earlier: what was received before a RESET must still be there when the application is
  // reset.
  if (action.kind == Kind::ended) pipe_.close();
  return action;
}

// --- its state, without links

SessionRecord Session::record() const {
  return {.id = identity_.id,
          .role = identity_.role,
          .service = identity_.service,
          .server_knows = dials() ? dialling_->server_knows : ServerKnows::no,
          .application_reset = application_reset_,
          .confirmed = confirmed_,
          .links = links_,
          .pipe = pipe_.record()};
}

Result<void> Session::restore(const SessionRecord& record, const HeldBytes& held) {
  if (record.role == Role::server) dialling_.reset();
  if (record.role == Role::client && !dials()) return Reason::protocol_error;
  const auto restored = pipe_.restore(record.pipe, held);
  if (!restored) return restored;
  identity_ = {.id = record.id, .role = record.role, .service = record.service};
  if (dials()) dialling_->server_knows = record.server_knows;
  application_reset_ = record.application_reset;
  confirmed_ = record.confirmed || dials();
  links_ = record.links;
  ledger().links(links_);
  if (confirmed_) ledger().confirmed();
  if (dials() && record.server_knows != ServerKnows::no) ledger().said_hello();
  if (dials() && record.server_knows == ServerKnows::yes) ledger().welcomed();
  if (application_reset_) {
    ledger().resetting_application(record.pipe.reset_reason.value_or(Reason::application_reset));
  }
  if (resetting()) {
    phase_ = Phase::resetting;
  } else if (dials() && pipe_.done()) {
    phase_ = Phase::lingering;
  } else if (!dials() || record.server_knows == ServerKnows::yes) {
    phase_ = Phase::open;
  }
  // The end may have been decided and not executed.
  settle();
  return restored;
}

void Session::without_link_since(TimePoint since, std::optional<Duration> grace) {
  if (!detached_since_) return;
  detached_since_ = std::min(*detached_since_, since);
  grace_ = grace;
  record_detached();
}

std::vector<std::byte> Session::snapshot() const {
  return encode(record(), pipe_.held().bytes());
}

Result<void> Session::restore(ConstBytes snapshot) {
  const auto decoded = decode_session_record(snapshot);
  if (!decoded) return decoded.error();
  return restore(decoded->record,
                 {.outbound = {&decoded->outbound, 1}, .inbound = {&decoded->inbound, 1}});
}

}  // namespace backedpipe
