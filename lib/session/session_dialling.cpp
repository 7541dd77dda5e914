// The dialling side of Session: its attempts, and a candidate beside a suspect link.
#include <utility>

#include "session/dial/segment_limit.hpp"
#include "session/session.hpp"

namespace backedpipe {
namespace {

using Kind = Session::Action::Kind;
using ServerKnows = DiallingSide::ServerKnows;

// A link that is lost later than this had worked for a while. By default a link that has never
// worked is dead before.
constexpr Duration kYoung = std::chrono::seconds(20);

}  // namespace

void Session::start(TimePoint now) {
  if (!dials()) return;
  dialling_->reconnector.want(now);
  advance(now);
}

bool Session::reconnect(TimePoint now) {
  if (!dials() || over() || parked_) return false;
  if (pipe_.state() == PipeState::reconnecting) return true;
  if (pipe_.state() == PipeState::connected) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
    on_detached(now);
    if (pipe_.candidate()) return pipe_.reconnect().has_value();
  }
  dialling_->reconnector.want_now(now);
  begin_attempt(pipe_.reconnect());
  return true;
}

void Session::try_now(TimePoint now) {
  // The network may be another one.
  if (dials()) dialling_->fruitless_links = 0;
  if (over() || !wants_attempt()) return;
  dialling_->reconnector.want_now(now);
  advance(now);
}

void Session::begin_attempt(Result<std::uint64_t> generation) {
  if (!generation) return;
  dialling_->reconnector.started();
  actions_.push_back({Kind::connect, *generation});
}

std::optional<Hello> Session::begin_handshake(std::uint64_t generation, TimePoint now,
                                              TcpWitness* tcp) {
  if (over() || !dials()) return std::nullopt;
  if (suspect()) ask_tcp(now, tcp);
  if (pipe_.candidate() == generation) {
    actions_.push_back({Kind::close_link, pipe_.generation()});
    if (fruitless(now)) ++dialling_->fruitless_links;
    pipe_.promote_candidate();
    on_detached(now);
  }
  if (pipe_.state() != PipeState::reconnecting || generation != pipe_.generation()) {
    return std::nullopt;
  }
  // A session that is being given up must not be opened only to be reset.
  const bool open = dialling_->server_knows != ServerKnows::yes && !resetting();
  if (dialling_->server_knows == ServerKnows::no) {
    ledger().said_hello();
    dialling_->server_knows = ServerKnows::perhaps;
  }
  dialling_->hello_at = now;
  return Hello{.session = identity_.id,
               .generation = generation,
               .position = pipe_.take_position(),
               .open = open,
               .service = open ? identity_.service : std::string(),
               .offers = known()};
}

bool Session::welcomed(const Welcome& welcome, TimePoint now) {
  // An answer to an attempt that was given up: the link is closed already.
  if (over() || !dials() || pipe_.state() != PipeState::reconnecting ||
      welcome.generation != pipe_.generation()) {
    return false;
  }
  ledger().welcomed();
  dialling_->server_knows = ServerKnows::yes;
  const auto attached =
      pipe_.attach(welcome.generation, welcome.position, now, now - dialling_->hello_at);
  if (!attached) {
    const auto reason = reason_of(attached.error());
    if (!reason) return false;
    // The server's offsets do not fit ours: no link can continue this session.
    fail(*reason);
    if (!pipe_.attach(welcome.generation, welcome.position, now)) return false;
  }
  on_attached(welcome.accepts & known(), now);
  return pipe_.state() == PipeState::connected;
}

void Session::refused(std::uint64_t generation, Reason reason, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  if (is_transient(reason)) {
    dialling_->reconnector.failed(now);
    return;
  }
  // The application has missed nothing in two cases: the server had received everything, including
  // our end of stream, and only its last acknowledgement was lost; or the server has forgotten a
  // session that was complete.
  const bool complete = reason == Reason::closed
                            ? pipe_.reader().done() && pipe_.writer().finished()
                            : reason == Reason::unknown_session && phase_ == Phase::lingering;
  if (resetting()) {
    end(*pipe_.reset_reason());
  } else if (complete) {
    end(Reason::closed);
  } else {
    fail_application(reason);
  }
}

// The server has ended the session with a reason that the application must be told.
void Session::fail_application(Reason reason) {
  // "Closed" while data is missing is not a clean end, but a fault of the server.
  const Reason told = reason == Reason::closed ? Reason::protocol_error : reason;
  reset_application(told);
  end(told);
}

void Session::attempt_failed(std::uint64_t generation, bool rejected, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  if (rejected && dialling_->server_knows != ServerKnows::yes) {
    reset_application(Reason::not_authorised);
    end(Reason::not_authorised);
    return;
  }
  dialling_->reconnector.failed(now);
  settle();
}

void Session::attempt_void(std::uint64_t generation, TimePoint now) {
  if (!pipe_.attempt_failed(generation)) return;
  dialling_->reconnector.want_now(now);
  advance(now);
}

// No attempt is under way, and one would be useful.
bool Session::wants_attempt() const {
  if (!dials() || parked_) return false;
  const PipeState state = pipe_.state();
  return state == PipeState::disconnected ||
         (state == PipeState::connected && suspect() && !pipe_.candidate());
}

std::optional<TimePoint> Session::next_attempt() const {
  return dials() ? dialling_->reconnector.next_attempt() : std::nullopt;
}

// --- make before break

void Session::distrust(TimePoint now, TcpWitness* tcp) {
  if (over() || pipe_.state() != PipeState::connected) return;
  // What TCP has reported until now proves nothing about the link from now on.
  if (tcp != nullptr) tcp->tcp_answer(now);
  pipe_.ping(now);
  become_suspect(now);
  try_now(now);
}

void Session::ask(TimePoint now) {
  if (!over()) pipe_.ping(now);
}

// A PING has been unanswered for so long that the link is about to be suspected.
bool Session::doubts(TimePoint now) const {
  return !over() && !suspect() && pipe_.ping_asked_at() &&
         liveness_.judge(pipe_, now, fruitless_links()) == Liveness::Verdict::suspect;
}

// Asks TCP whether the link makes progress although no bytes come from it.
void Session::ask_tcp(TimePoint now, TcpWitness* tcp) {
  if (tcp == nullptr || pipe_.state() != PipeState::connected) return;
  const auto answer = tcp->tcp_answer(now);
  if (!answer || !Liveness::believes(pipe_, *answer)) return;
  pipe_.tcp_answered(answer->at);
  if (liveness_.judge(pipe_, now, fruitless_links()) == Liveness::Verdict::alive) trust_again();
}

void Session::become_suspect(TimePoint now) {
  if (std::exchange(link_.suspect, true)) return;
  if (dials()) dialling_->reconnector.want_now(now);
}

// The current link has carried at least what one large packet holds.
bool Session::fruitful() const {
  return progress() - link_.progress_before >= kSmallSegmentBytes.front();
}

// The current link is given up because nothing comes from it, and large packets may be why: more is
// under way than what is known to pass, or the link has answered nothing at all.
bool Session::fruitless(TimePoint now) const {
  if (fruitful() || !young(now)) return false;
  const std::uint64_t under_way = pipe_.writer().sent() - pipe_.writer().acknowledged();
  return under_way > kSmallPacketBytes || pipe_.in_data_frame() || !pipe_.answered();
}

bool Session::young(TimePoint now) const {
  return now < link_.attached_at + kYoung;
}

// The link has answered: the suspicion was wrong, and cost only a dial.
void Session::trust_again() {
  if (!std::exchange(link_.suspect, false) || !dials()) return;
  dialling_->reconnector.stop();
  if (const auto candidate = pipe_.candidate()) give_up_attempt(*candidate);
}

void Session::give_up_attempt(std::uint64_t generation) {
  actions_.push_back({Kind::stop_attempt, generation});
  pipe_.attempt_failed(generation);
}

}  // namespace backedpipe
