// Session: one application connection carried end to end, without its sockets. A BackedPipe, the
// judgement of its links (Liveness), on the client the decision when to dial (Reconnector), and the
// rules of how a session ends. The network layer reports what happened and executes the actions it
// is told; the simulation does the same with a virtual clock.
//
// How a session ends, so that neither side forgets what the other still needs:
//   - Clean: both directions finished and acknowledged. The server says RESET(closed) and leaves a
//     tombstone. The client, whose application is long gone, lingers until it has heard that, and
//     asks again over new links: a lost last acknowledgement cannot leave a session behind on the
//     server.
//   - Reset by the server's side: RESET(reason), and a tombstone for a client that was away.
//   - Reset by the client's side: RESET(reason), repeated over new links until the server has
//   answered.
//
// Owned by its driver, on its worker's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipe/backed_pipe.hpp"
#include "session/handshake.hpp"
#include "session/liveness.hpp"
#include "session/reconnector.hpp"

namespace backedpipe {

enum class Role : std::uint8_t { client, server };

struct SessionOptions {
  PipeOptions pipe;
  LivenessOptions liveness;
  BackoffOptions backoff;
  Duration resume_timeout = std::chrono::hours(24);
  bool reuse_links = true;  // when a session has ended well, its link is good for another
};

class Session {
 public:
  struct Action {
    enum class Kind : std::uint8_t {
      connect,            // dial a link of this generation (client)
      close_link,         // close the link, or stop the attempt, of this generation
      reset_application,  // reset the application's connection, after giving it what it takes at
                          // once
      ended,              // the session is over: forget it
    };
    Kind kind;
    std::uint64_t generation = 0;  // connect, close_link
    Reason reason = Reason::none;  // reset_application, ended
  };

  struct Identity {
    SessionId id;
    Role role = Role::client;
    std::string service;
  };

  // `seed` feeds the backoff's jitter.
  Session(Identity identity, SegmentPool& pool, const SessionOptions& options, std::uint64_t seed,
          TimePoint now);

  // --- the application's side

  BackedPipe& pipe() { return pipe_; }
  const BackedPipe& pipe() const { return pipe_; }
  // The application has taken `count` bytes of pipe().deliverable().
  void delivered(std::size_t count, TimePoint now);
  // The end of the stream has been passed on to the application.
  void end_delivered(TimePoint now);
  // Ends the session with a reason that the peer is told: the application's reset, an operator's
  // wish, a target that cannot be reached. The application is reset unless it was the one to ask.
  void reset(Reason reason);
  // Nothing more will be read from or written to the application; its socket can be closed.
  bool application_done() const;

  // --- links, as a client

  void start(TimePoint now);
  // Tries at once; on a healthy link as well, which is let go. Several calls make one attempt.
  // False when this side does not dial or the session is over.
  bool reconnect(TimePoint now);
  // If it waits for its next attempt, it need not wait any longer.
  void try_now(TimePoint now);
  // The transport of this attempt is ready: its HELLO, with the offsets of now. For a candidate
  // this is where the session lets go of the link that it has. Nothing if the attempt is not
  // wanted any more.
  std::optional<Hello> hello(std::uint64_t generation, TimePoint now);
  void welcomed(const Welcome& welcome, TimePoint now);
  void refused(std::uint64_t generation, Reason reason, TimePoint now);
  // The attempt failed. `rejected`: the peer did not accept our identity, or we did not accept the
  // peer's. That ends a session that nobody has welcomed yet; later it is one more failure, because
  // whoever sits in the middle can forge it.
  void attempt_failed(std::uint64_t generation, bool rejected, TimePoint now);
  // There is reason to believe that the link is dead (its local address is gone, say): suspect at
  // once, until it answers.
  void distrust(TimePoint now);
  // The attempt's link, one that was there before, has turned out to be of no use: the next attempt
  // follows at once.
  void attempt_void(std::uint64_t generation, TimePoint now);
  // Find out whether the link is alive: asks now.
  void ask(TimePoint now);

  // --- links, as a server

  // A HELLO that the registry has let through. Replaces an older link. Errors: see
  // BackedPipe::attach; after an error of offsets that do not fit, the session ends with it.
  Result<Welcome> attach(const Hello& hello, bool created, TimePoint now);

  // --- links, on both sides

  // Bytes from the link of this generation; returns how many were taken (see BackedPipe::receive).
  std::size_t receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                      std::size_t placed = 0);
  // See BackedPipe.
  std::size_t prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                              std::span<MutableBytes> out) {
    return ended_ ? 0 : pipe_.prepare_receive(generation, max_bytes, out);
  }
  // Nothing any more once it is over: the link may be another session's.
  std::size_t outgoing(TimePoint now, std::span<ConstBytes> out) {
    return ended_ ? 0 : pipe_.outgoing(now, out);
  }
  void sent(std::uint64_t generation, std::size_t count);
  void link_lost(const LinkError& error, TimePoint now);
  // A question is out for so long that tick() would suspect the link: TCP should be asked first.
  bool doubts(TimePoint now) const;
  // It has been asked, also of a suspect link that is about to be left: then the link is trusted
  // again.
  void tcp_answered(const TcpAnswer& answer, TimePoint now);

  // --- time and actions

  std::optional<TimePoint> deadline(TimePoint now) const;
  void tick(TimePoint now);
  // The next thing to do, in order. An action about a link that is gone can be ignored.
  std::optional<Action> next_action();

  // --- what it is

  const SessionId& id() const { return identity_.id; }
  Role role() const { return identity_.role; }
  const std::string& service() const { return identity_.service; }
  bool ended() const { return ended_; }
  // Over, and what was sent last has yet to tell the peer of it. Not for a client whom the server
  // has told: nothing that it sent matters any more.
  bool end_on_its_way() const {
    return ended_ && !(role() == Role::client && pipe_.reset_received());
  }
  // Over, and its link can carry another session: both sides have agreed to that, and nothing of
  // this one is under way.
  bool link_reusable() const { return link_reusable_; }
  // The link owes an answer for too long. A client has a candidate beside it, or is about to.
  bool suspect() const { return suspect_; }
  // There is a link, and no reason to doubt it.
  bool link_healthy() const { return pipe_.state() == PipeState::connected && !suspect_; }
  // How many links it has had.
  std::uint64_t links() const { return links_; }
  std::optional<TimePoint> next_attempt() const { return reconnector_.next_attempt(); }
  std::optional<TimePoint> detached_since() const { return detached_since_; }

  // The state as bytes, without links: see BackedPipe::snapshot. restore() wants a newly made
  // session.
  std::vector<std::byte> snapshot() const;
  Result<void> restore(ConstBytes snapshot);

 private:
  void on_attached(TimePoint now);
  void on_detached(TimePoint now);
  void on_reset_received();
  void suspect(TimePoint now);
  void trust_again();
  void settle();
  void fail(Reason reason);
  void end(Reason reason);
  void reset_application(Reason reason);
  void fail_application(Reason reason);
  void lose_link(LinkError::Component component, boost::system::error_code error, TimePoint now);
  bool wants_attempt() const;
  void begin_attempt(Result<std::uint64_t> generation);

  Identity identity_;
  Duration resume_timeout_;
  bool reuse_links_;
  BackedPipe pipe_;
  Liveness liveness_;
  Reconnector reconnector_;
  std::vector<Action> actions_;  // few, and none most of the time: then it holds no memory
  std::optional<TimePoint> detached_since_;
  TimePoint attached_at_{};
  TimePoint hello_at_{};
  std::uint64_t links_ = 0;
  bool said_hello_ = false;         // the server may know of this session
  bool welcomed_ = false;           // the server does know of it
  bool application_reset_ = false;  // the application has been told, or was the one to ask
  bool suspect_ = false;
  bool reuse_agreed_ = false;  // for the link that there is
  bool link_reusable_ = false;
  bool ended_ = false;
};

}  // namespace backedpipe
