#include "session/session.hpp"

#include <utility>

#include <boost/system/errc.hpp>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

using Kind = Session::Action::Kind;

constexpr std::uint32_t kSnapshotFormat = 0x42535331;  // "BSS1"
constexpr std::uint8_t kSaidHello = 1;
constexpr std::uint8_t kWelcomed = 2;
constexpr std::uint8_t kApplicationReset = 4;

// A link that has lasted so long was of use, whatever it carried.
constexpr Duration kLasting = std::chrono::seconds(1);

}  // namespace

Session::Session(Identity identity, SegmentPool& pool, const SessionOptions& options,
                 std::uint64_t seed, TimePoint now)
    : identity_(std::move(identity)),
      resume_timeout_(options.resume_timeout),
      reuse_links_(options.reuse_links),
      pipe_(pool, options.pipe),
      liveness_(options.liveness),
      reconnector_(options.backoff, seed),
      detached_since_(now) {}

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
  if (ended_ || pipe_.resetting()) return;
  if (reason == Reason::application_reset) {
    application_reset_ = true;
  } else {
    reset_application(reason);
  }
  pipe_.reset(reason);
  settle();
}

bool Session::application_done() const {
  return application_reset_ || ended_ || pipe_.done();
}

// --- links, as a client

void Session::start(TimePoint now) {
  reconnector_.want(now);
  tick(now);
}

bool Session::reconnect(TimePoint now) {
  if (role() != Role::client || ended_) return false;
  if (pipe_.state() == PipeState::reconnecting) return true;
  if (pipe_.state() == PipeState::connected) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
    on_detached(now);
    if (pipe_.candidate()) return pipe_.reconnect().has_value();
  }
  reconnector_.want_now(now);
  begin_attempt(pipe_.reconnect());
  return true;
}

void Session::try_now(TimePoint now) {
  if (ended_ || !wants_attempt()) return;
  reconnector_.want_now(now);
  tick(now);
}

void Session::begin_attempt(Result<std::uint64_t> generation) {
  if (!generation) return;
  reconnector_.started();
  actions_.push_back({Kind::connect, *generation});
}

std::optional<Hello> Session::hello(std::uint64_t generation, TimePoint now) {
  if (!ended_ && pipe_.candidate() == generation) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
    pipe_.promote_candidate();
    on_detached(now);
  }
  if (ended_ || pipe_.state() != PipeState::reconnecting || generation != pipe_.generation()) {
    return std::nullopt;
  }
  said_hello_ = true;
  hello_at_ = now;
  // A session that is being given up must not be opened just to be reset.
  const bool open = !welcomed_ && !pipe_.resetting();
  return Hello{.session = identity_.id,
               .generation = generation,
               .position = pipe_.take_position(),
               .open = open,
               .service = open ? identity_.service : std::string(),
               .reuse = reuse_links_};
}

void Session::welcomed(const Welcome& welcome, TimePoint now) {
  // An answer to an attempt that was given up: its link is closed already.
  if (ended_ || pipe_.state() != PipeState::reconnecting ||
      welcome.generation != pipe_.generation()) {
    return;
  }
  reuse_agreed_ = reuse_links_ && welcome.reuse;
  const auto attached = pipe_.attach(welcome.generation, welcome.position, now, now - hello_at_);
  if (attached) {
    welcomed_ = true;
    on_attached(now);
  } else if (const auto reason = reason_of(attached.error())) {
    // The server's offsets do not fit ours: this session cannot be continued by any link.
    welcomed_ = true;
    fail(*reason);
    if (pipe_.attach(welcome.generation, welcome.position, now)) on_attached(now);
  }
}

void Session::refused(std::uint64_t generation, Reason reason, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  if (is_transient(reason)) {
    reconnector_.failed(now);
    return;
  }
  // The server had everything, our end of stream included, and only its last acknowledgement was
  // lost; or it has forgotten a session that was complete. Nothing is missing that the application
  // would have to be told about.
  const bool complete = reason == Reason::closed
                            ? pipe_.reader().done() && pipe_.writer().finished()
                            : reason == Reason::unknown_session && pipe_.done();
  if (pipe_.resetting()) {
    end(*pipe_.reset_reason());
  } else if (complete) {
    end(Reason::closed);
  } else {
    fail_application(reason);
  }
}

// The server has ended the session with a reason that the application must hear of.
void Session::fail_application(Reason reason) {
  // "Closed" while something is missing is a lie, and no clean end.
  const Reason told = reason == Reason::closed ? Reason::protocol_error : reason;
  reset_application(told);
  end(told);
}

void Session::attempt_failed(std::uint64_t generation, bool rejected, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  if (rejected && !welcomed_) {
    reset_application(Reason::not_authorised);
    end(Reason::not_authorised);
    return;
  }
  reconnector_.failed(now);
  settle();
}

void Session::attempt_void(std::uint64_t generation, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  reconnector_.want_now(now);
  tick(now);
}

// --- links, as a server

Result<Welcome> Session::attach(const Hello& hello, bool created, TimePoint now) {
  // Over, but its owner has not yet been told.
  if (ended_) return pipe_.reset_reason().value_or(Reason::expired);
  const std::uint64_t replaced = pipe_.state() == PipeState::connected ? pipe_.generation() : 0;
  const auto attached = pipe_.attach(hello.generation, hello.position, now);
  if (!attached) {
    const auto reason = reason_of(attached.error());
    if (reason == Reason::future_sequence || reason == Reason::replay_unavailable) {
      fail(*reason);
    }
    return attached.error();
  }
  if (replaced != 0) actions_.push_back({Kind::close_link, replaced});
  reuse_agreed_ = reuse_links_ && hello.reuse;
  on_attached(now);
  return Welcome{.session = identity_.id,
                 .generation = hello.generation,
                 .position = pipe_.take_position(),
                 .created = created,
                 .reuse = reuse_agreed_};
}

// --- links, on both sides

void Session::on_attached(TimePoint now) {
  ++links_;
  attached_at_ = now;
  suspect_ = false;
  detached_since_.reset();
  reconnector_.stop();
  settle();
}

void Session::on_detached(TimePoint now) {
  suspect_ = false;
  detached_since_ = now;
}

std::size_t Session::receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                             std::size_t placed) {
  if (ended_ || pipe_.state() != PipeState::connected || generation != pipe_.generation()) {
    return bytes.size();
  }
  const std::uint64_t received = pipe_.reader().received_sequence();
  const std::uint64_t acknowledged = pipe_.writer().acknowledged();
  const auto asked_at = pipe_.ping_asked_at();
  const auto taken = pipe_.receive(generation, bytes, now, placed);
  if (taken) {
    // Other bytes may be old ones, which the peer's TCP repeats when the network is back, while
    // ours repeats nothing for seconds to come. The PONG says that both ways are open; after it the
    // next question may be out already.
    const bool answered = !pipe_.ping_asked_at() || pipe_.ping_asked_at() != asked_at;
    if (answered || pipe_.reset_received()) trust_again();
    // Pings and the like are no progress, or a server that closes each link after one of them could
    // make its client dial without a pause.
    if (pipe_.reader().received_sequence() > received ||
        pipe_.writer().acknowledged() > acknowledged) {
      reconnector_.useful();
    }
    if (pipe_.reset_received()) on_reset_received();
    settle();
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
  if (ended_ || !pipe_.detach(error)) return;
  if (reason_of(error.error)) {
    // What came was no frame. A server that always sends such must not be dialled without a pause.
    reconnector_.useless();
  } else if (*pipe_.last_received_at() > attached_at_ && now >= attached_at_ + kLasting) {
    reconnector_.useful();
  }
  // A suspect link's candidate, or the pause before the next one, goes on.
  const bool wanted = suspect_ && role() == Role::client;
  on_detached(now);
  if (role() == Role::client && !wanted) reconnector_.want(now);
  settle();
  if (!ended_) tick(now);
}

void Session::lose_link(LinkError::Component component, boost::system::error_code error,
                        TimePoint now) {
  const std::uint64_t generation = pipe_.generation();
  actions_.push_back({Kind::close_link, generation});
  link_lost({component, generation, error}, now);
}

// --- make before break

void Session::distrust(TimePoint now) {
  if (ended_ || pipe_.state() != PipeState::connected) return;
  pipe_.ping(now);
  suspect(now);
  try_now(now);
}

void Session::ask(TimePoint now) {
  if (!ended_) pipe_.ping(now);
}

bool Session::doubts(TimePoint now) const {
  return !ended_ && !suspect_ && pipe_.ping_asked_at() &&
         liveness_.judge(pipe_, now) == Liveness::Verdict::suspect;
}

void Session::tcp_answered(const TcpAnswer& answer, TimePoint now) {
  if (ended_ || pipe_.state() != PipeState::connected || !Liveness::believes(pipe_, answer)) return;
  pipe_.tcp_answered(answer.at);
  if (liveness_.judge(pipe_, now) == Liveness::Verdict::alive) trust_again();
}

void Session::suspect(TimePoint now) {
  if (std::exchange(suspect_, true)) return;
  if (role() == Role::client) reconnector_.want_now(now);
}

// The link has answered: a false alarm, which has cost nothing but a dial.
void Session::trust_again() {
  if (!std::exchange(suspect_, false) || role() != Role::client) return;
  reconnector_.stop();
  if (const auto candidate = pipe_.candidate()) {
    actions_.push_back({Kind::close_link, *candidate});
    pipe_.attempt_failed(*candidate);
  }
}

// --- the end

void Session::on_reset_received() {
  const Reason reason = *pipe_.reset_received();
  if (role() == Role::server) {
    // Resetting answers, so that the client can forget the session.
    if (!pipe_.resetting()) fail(reason);
    return;
  }
  if (pipe_.resetting()) {
    end(*pipe_.reset_reason());
  } else if (reason == Reason::closed && pipe_.done()) {
    end(Reason::closed);
  } else {
    fail_application(reason);
  }
}

// Something has changed: is this session over?
void Session::settle() {
  if (ended_) return;
  if (role() == Role::server) {
    if (!pipe_.resetting() && pipe_.done()) pipe_.reset(Reason::closed);
    if (pipe_.resetting() && (pipe_.reset_sent() || pipe_.state() != PipeState::connected)) {
      end(*pipe_.reset_reason());
    }
    return;
  }
  // A server that has never heard of the session need not hear of its end.
  if (pipe_.resetting() && !said_hello_) end(*pipe_.reset_reason());
}

// The peer, or the state of things, makes it impossible to go on.
void Session::fail(Reason reason) {
  reset_application(reason);
  pipe_.reset(reason);
  settle();
}

void Session::reset_application(Reason reason) {
  if (application_reset_ || pipe_.done()) return;
  application_reset_ = true;
  actions_.push_back({Kind::reset_application, 0, reason});
}

void Session::end(Reason reason) {
  if (ended_) return;
  ended_ = true;
  link_reusable_ = reuse_agreed_ && reason == Reason::closed && pipe_.link_at_rest();
  const PipeState state = pipe_.state();
  if (state == PipeState::connected || state == PipeState::reconnecting) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
  }
  reconnector_.stop();
  actions_.push_back({Kind::ended, 0, reason});
}

// --- time and actions

std::optional<TimePoint> Session::deadline(TimePoint now) const {
  if (ended_) return std::nullopt;
  std::optional<TimePoint> due = earlier(pipe_.deadline(), liveness_.deadline(pipe_, now));
  if (wants_attempt()) due = earlier(due, reconnector_.next_attempt());
  if (detached_since_) due = earlier(due, *detached_since_ + resume_timeout_);
  return due;
}

void Session::tick(TimePoint now) {
  if (ended_) return;
  if (detached_since_ && now >= *detached_since_ + resume_timeout_) {
    reset_application(Reason::expired);
    end(Reason::expired);
    return;
  }
  pipe_.tick(now);
  // After a late call the question and the suspicion may be due together.
  if (liveness_.judge(pipe_, now) == Liveness::Verdict::ask) pipe_.ping(now);
  switch (liveness_.judge(pipe_, now)) {
    case Liveness::Verdict::alive:
    case Liveness::Verdict::ask:
      break;
    case Liveness::Verdict::suspect:
      suspect(now);
      break;
    case Liveness::Verdict::dead:
      lose_link(LinkError::Component::reader, make_error_code(boost::system::errc::timed_out), now);
      return;
  }
  const auto next = reconnector_.next_attempt();
  if (wants_attempt() && next && now >= *next) {
    begin_attempt(pipe_.state() == PipeState::connected ? pipe_.connect_beside() : pipe_.connect());
  }
}

// No attempt is under way, and one would be of use.
bool Session::wants_attempt() const {
  if (role() != Role::client) return false;
  const PipeState state = pipe_.state();
  return state == PipeState::disconnected ||
         (state == PipeState::connected && suspect_ && !pipe_.candidate());
}

std::optional<Session::Action> Session::next_action() {
  if (actions_.empty()) return std::nullopt;
  const Action action = actions_.front();
  actions_.erase(actions_.begin());
  if (actions_.empty()) actions_.shrink_to_fit();
  // Not before: what was received ahead of a RESET is still there when the application is to be
  // reset.
  if (action.kind == Kind::ended) pipe_.close();
  return action;
}

// --- the state as bytes

std::vector<std::byte> Session::snapshot() const {
  wire::Writer writer;
  writer.integer(kSnapshotFormat);
  writer.bytes(std::as_bytes(std::span(identity_.id.bytes)));
  writer.integer(static_cast<std::uint8_t>(role()));
  writer.integer(static_cast<std::uint8_t>((said_hello_ ? kSaidHello : 0) |
                                           (welcomed_ ? kWelcomed : 0) |
                                           (application_reset_ ? kApplicationReset : 0)));
  writer.integer(links_);
  writer.integer(static_cast<std::uint8_t>(service().size()));
  writer.bytes(std::as_bytes(std::span(service().data(), service().size())));
  writer.bytes(pipe_.snapshot());
  return std::move(writer.buffer());
}

Result<void> Session::restore(ConstBytes snapshot) {
  wire::Reader reader(snapshot);
  const auto format = reader.integer<std::uint32_t>();
  const auto id = reader.take(identity_.id.bytes.size());
  const auto role = reader.integer<std::uint8_t>();
  const auto flags = reader.integer<std::uint8_t>();
  const auto links = reader.integer<std::uint64_t>();
  const auto service_size = reader.integer<std::uint8_t>();
  if (!service_size || *format != kSnapshotFormat || *role > 1) return Reason::protocol_error;
  const auto service = reader.take(*service_size);
  if (!service) return Reason::protocol_error;
  std::memcpy(identity_.id.bytes.data(), id->data(), id->size());
  identity_.role = static_cast<Role>(*role);
  identity_.service.assign(reinterpret_cast<const char*>(service->data()), service->size());
  said_hello_ = (*flags & kSaidHello) != 0;
  welcomed_ = (*flags & kWelcomed) != 0;
  application_reset_ = (*flags & kApplicationReset) != 0;
  links_ = *links;
  return pipe_.restore(snapshot.last(reader.remaining()));
}

}  // namespace backedpipe
