// Session: one application connection carried end to end, without its sockets: a BackedPipe, the
// judgement of its links (Liveness), when to dial (on the dialling side), and the rules for the end
// of a session. A SessionPump reports events and executes the actions.
//
//               WELCOME, or a HELLO that opens            both directions finished
//                                                         and acknowledged
//   opening ─────────────────────────────────▶ open ──────────────────────────────▶ lingering
//      │                                        │          (dialling side)              │
//      │ reset()                                │ reset(), a violation, a RESET;        │ reset()
//      │                                        │ accepting side: finished as well      │
//      └──────────────────▶ resetting ◀─────────┴───────────────────────────────────────┘
//                               │ the peer has been told, or cannot be told
//                               ▼
//                             over ◀── any phase: the peer has told us, or the session has expired
//
// How a session ends, so that neither side forgets what the other still needs (PROTOCOL.md, "The
// end of a session"):
//   - Clean: both directions are finished and acknowledged. The server says RESET(closed) and
//     leaves a tombstone. The client, whose application is long gone, lingers until it has heard
//     that, and asks again over new links: the loss of the last acknowledgement cannot leave a
//     session behind on the server.
//   - Reset by the server's side: RESET(reason), and a tombstone for a client that was away.
//   - Reset by the client's side: RESET(reason), repeated over new links until the server has
//     answered.
//
// Owned by a SessionPump, on its worker's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipe/backed_pipe.hpp"
#include "session/dial/dialling_side.hpp"
#include "session/handshake.hpp"
#include "session/liveness.hpp"
#include "session/session_record.hpp"

namespace backedpipe {

struct SessionOptions {
  PipeOptions pipe;
  LivenessOptions liveness;
  Duration resume_timeout = std::chrono::hours(24);
  bool reuse_links = true;  // after a clean end, the link may carry another session
  // How long an application's system may answer nothing; nothing: for ever. See ApplicationWatch.
  std::optional<Duration> application_keepalive{};
};

// How long a server keeps a session without a link whose client has not shown yet that it saw a
// WELCOME. Such a HELLO may have come late, from a client that has given the session up.
inline constexpr Duration kUnconfirmedTime = std::chrono::seconds(60);

class Session {
 public:
  // See the diagram above.
  enum class Phase : std::uint8_t {
    opening,    // the server has not welcomed it yet
    open,       // bytes flow whenever there is a link
    lingering,  // dialling side: all is done, and the server has yet to confirm it
    resetting,  // the peer has yet to be told of a reset
    over,       // nothing more happens
  };

  struct Action {
    enum class Kind : std::uint8_t {
      connect,            // dial a link of this generation (client)
      close_link,         // close the link of this generation
      stop_attempt,       // the attempt of this generation is no longer wanted
      reset_application,  // after delivering what the application takes at once
      ended,              // the session is over: forget it
    };
    Kind kind;
    std::uint64_t generation = 0;  // connect, close_link, stop_attempt
    Reason reason = Reason::none;  // reset_application, ended
  };

  struct Identity {
    SessionId id;
    Role role = Role::client;
    std::string service;
  };

  // `seed` feeds the backoff's jitter. See BackedPipe for `ledger`.
  Session(Identity identity, const PipePools& pools, const SessionOptions& options,
          std::uint64_t seed, TimePoint now, LedgerEntry ledger = {});

  // --- the application's side

  const BackedPipe& pipe() const { return pipe_; }
  // What is recorded of the session for the next process.
  LedgerEntry& ledger() { return pipe_.ledger(); }
  const LedgerEntry& ledger() const { return pipe_.ledger(); }
  // See BackedPipe. What the application writes:
  std::size_t prepare(std::size_t max_bytes, std::span<MutableBytes> out) {
    return pipe_.prepare(max_bytes, out);
  }
  void commit(std::size_t count) { pipe_.commit(count); }
  std::size_t write(ConstBytes bytes) { return pipe_.write(bytes); }
  void finish() { pipe_.finish(); }
  // The bytes for the application; delivered() reports how many of them it has taken.
  std::size_t deliverable(std::span<ConstBytes> out) const { return pipe_.deliverable(out); }
  void delivered(std::size_t count, TimePoint now);
  // The end of the stream has been passed on to the application.
  void end_delivered(TimePoint now);
  // Ends the session with a reason that the peer is told: the application's reset, an operator's
  // request, an unreachable target. Resets the application, unless the application reset it.
  void reset(Reason reason);
  // Nothing more will be read from or written to the application; its socket can be closed.
  bool application_done() const;

  // --- links, on the dialling side

  void start(TimePoint now);
  // Gives up the current link, even a healthy one, and dials at once. Several calls make one
  // attempt. False when this side does not dial or the session is over.
  bool reconnect(TimePoint now);
  // Starts the next attempt at once, if the session is waiting to make one.
  void try_now(TimePoint now);
  // The transport of this attempt is ready. Returns its HELLO, with the current offsets; nothing if
  // the attempt is not wanted any more. Before a candidate's HELLO the session gives up its current
  // link, unless that has answered by now or `tcp` reports progress.
  std::optional<Hello> begin_handshake(std::uint64_t generation, TimePoint now, TcpWitness* tcp);
  // True: the link of this attempt is now the session's. False: the attempt was given up meanwhile,
  // or the session has ended.
  bool welcomed(const Welcome& welcome, TimePoint now);
  void refused(std::uint64_t generation, Reason reason, TimePoint now);
  // The attempt failed. `rejected`: the peer did not accept our identity, or we did not accept the
  // peer's. That ends a session that no WELCOME has opened yet. Later it is one more failure,
  // because an attacker in the middle can forge it.
  void attempt_failed(std::uint64_t generation, bool rejected, TimePoint now);
  // The attempt used a spare link that did not work: the next attempt follows at once.
  void attempt_void(std::uint64_t generation, TimePoint now);
  // The link is probably dead; for example, its local address is gone. It is suspect at once, until
  // it answers. Earlier progress that `tcp` reports does not count.
  void distrust(TimePoint now, TcpWitness* tcp);
  // Sends a PING now, to find out whether the link is alive.
  void ask(TimePoint now);

  // --- links, on the accepting side

  // A HELLO that the registry has admitted. Replaces an older link. Errors: see BackedPipe::attach.
  // If the offsets do not fit, the session ends with that error.
  Result<Welcome> attach(const Hello& hello, bool created, TimePoint now);

  // --- links, on both sides

  // Bytes from the link of this generation; returns how many were taken (see BackedPipe::receive).
  std::size_t receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                      std::size_t placed = 0);
  // See BackedPipe. No bytes once the session is over, because the link may be another session's.
  std::size_t prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                              std::span<MutableBytes> out) {
    return over() ? 0 : pipe_.prepare_receive(generation, max_bytes, out);
  }
  std::size_t outgoing(TimePoint now, std::span<ConstBytes> out) {
    return over() ? 0 : pipe_.outgoing(now, out);
  }
  void sent(std::uint64_t generation, std::size_t count);
  void link_lost(const LinkError& error, TimePoint now);

  // --- parting

  // This process is about to end, and another one may continue the session within `grace`. From now
  // on the session only tells its peer, if it has a link and the peer understands; then it lets go
  // of the link. Nothing must be read from the application or written to it any more.
  void park(Duration grace, TimePoint now);
  bool parked() const { return parked_; }

  // --- time and actions

  std::optional<TimePoint> deadline(TimePoint now) const;
  // Before a link is suspected, `tcp` is asked for progress; null when the system cannot say.
  void tick(TimePoint now, TcpWitness* tcp);
  // The next action, in order. An action about a link that is gone can be ignored.
  std::optional<Action> next_action();
  // The process ends and does not tell the peer: frees everything, without an action.
  void abandon();

  // --- what it is

  const SessionId& id() const { return identity_.id; }
  Role role() const { return identity_.role; }
  const std::string& service() const { return identity_.service; }
  Phase phase() const { return phase_; }
  bool over() const { return phase_ == Phase::over; }
  // Over or parked, but the last bytes sent, which tell the peer, may not have arrived yet. False
  // for a client that the server has told: nothing that this client sent matters any more.
  bool end_on_its_way() const {
    return parked_ || (over() && !(dials() && pipe_.reset_received()));
  }
  // Over, and the link can carry another session: both sides have agreed to that, and nothing of
  // this session is under way.
  bool link_reusable() const { return link_.reusable; }
  // The link has owed an answer for too long. A client has a candidate, or is about to dial one.
  bool suspect() const { return link_.suspect; }
  // The session has a link, and no reason to doubt it.
  bool link_healthy() const { return pipe_.state() == PipeState::connected && !suspect(); }
  // How many links the session has had.
  std::uint64_t links() const { return links_; }
  // How many links in a row, on the dialling side, have fallen silent while they were young and more
  // was under way than a small packet holds. A path that swallows large packets does that.
  std::uint32_t fruitless_links() const { return dials() ? dialling_->fruitless_links : 0; }
  // When the next attempt is due; nothing on the accepting side, or when none is wanted.
  std::optional<TimePoint> next_attempt() const;
  std::optional<TimePoint> detached_since() const { return detached_since_; }
  // How long it may be without a link because one of its daemons has parted, if that is so.
  std::optional<Duration> grace() const { return grace_; }
  // The client has shown that it saw a WELCOME: something came after its HELLO, or a HELLO that
  // only resumes. Always true on the dialling side.
  bool confirmed() const { return confirmed_; }

  // --- its state, without links

  SessionRecord record() const;
  // Precondition: the session is newly made, and dials if the record is a dialling side's. Errors:
  // those of BackedPipe::restore(); after one, the session is unusable.
  Result<void> restore(const SessionRecord& record, const HeldBytes& held);
  // A restored session has been without a link since then, not only since it was made. A moment in
  // the future is taken for now. `grace`: see grace().
  void without_link_since(TimePoint since, std::optional<Duration> grace);
  // The same as one sequence of bytes; protocol_error also for bytes that are no snapshot.
  std::vector<std::byte> snapshot() const;
  Result<void> restore(ConstBytes snapshot);

 private:
  // The state of the current link. It is replaced together with the link.
  struct CurrentLink {
    TimePoint attached_at{};
    bool suspect = false;
    Extensions agreed{};
    bool reusable = false;              // another session may use the link after this one ends
    std::uint64_t progress_before = 0;  // progress() when it was attached
  };

  bool dials() const { return dialling_.has_value(); }
  bool resetting() const { return pipe_.resetting(); }
  void enter(Phase phase);
  void confirm();
  Extensions known() const { return {.reuse = reuse_links_, .parting = true}; }
  void on_attached(Extensions agreed, TimePoint now);
  void on_detached(TimePoint now);
  void record_detached();
  // Bytes that have passed, both ways together.
  std::uint64_t progress() const {
    return pipe_.reader().received_sequence() + pipe_.writer().acknowledged();
  }
  bool fruitful() const;
  bool fruitless(TimePoint now) const;
  bool young(TimePoint now) const;
  void on_reset_received();
  void on_parting_received(TimePoint now);
  bool doubts(TimePoint now) const;
  void ask_tcp(TimePoint now, TcpWitness* tcp);
  void advance(TimePoint now);
  std::optional<TimePoint> expires_at() const;
  void become_suspect(TimePoint now);
  void trust_again();
  void settle();
  void fail(Reason reason);
  void end(Reason reason);
  void reset_application(Reason reason);
  void fail_application(Reason reason);
  void lose_link(LinkError::Component component, boost::system::error_code error, TimePoint now);
  bool wants_attempt() const;
  void give_up_attempt(std::uint64_t generation);
  void begin_attempt(Result<std::uint64_t> generation);

  Identity identity_;
  Duration resume_timeout_;
  BackedPipe pipe_;
  Liveness liveness_;
  std::optional<DiallingSide> dialling_;
  bool reuse_links_;
  bool confirmed_;
  bool parked_ = false;
  Phase phase_ = Phase::opening;
  bool application_reset_ = false;  // the application was told, or asked for the reset
  CurrentLink link_;
  std::vector<Action> actions_;  // few, usually none, and then without memory
  std::optional<TimePoint> detached_since_;
  std::optional<Duration> grace_;
  std::uint64_t links_ = 0;
};

}  // namespace backedpipe
