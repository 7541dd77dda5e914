// SessionPump: moves the bytes of one session between its application, the Session and its link, in
// the only correct order. It owns the state between these parts: the reply that goes out before any
// frame, bytes from the link that found no memory, the read sizes, and the readiness of each end.
// It does no I/O and has no clock: the ends are interfaces, time is an argument. pump() takes a
// source of it: moving megabytes takes longer than a short path's round trip.
//
// The owner reports events (an end is ready, a link is there, time has passed), calls pump(),
// executes the actions, and waits as pump() returned.
//
// Owned by a SessionDriver, on its worker's thread, or by the simulation, which runs this same
// class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <boost/system/error_code.hpp>

#include "session/pump/application_watch.hpp"
#include "session/pump/ends.hpp"
#include "session/session.hpp"

namespace backedpipe {

class SessionPump {
 public:
  enum class Direction : std::uint8_t { read, write };

  // What happens to a link that the session releases.
  enum class LinkFate : std::uint8_t {
    abrupt,    // close at once; bytes on their way out may be lost
    graceful,  // close so that the last bytes written still arrive
    reuse,     // nothing is under way: the link can carry another session
  };

  // Execute these in order. The ones marked "told" are already done.
  struct Action {
    enum class Kind : std::uint8_t {
      connect,             // dial a link of this generation
      stop_attempt,        // the attempt of this generation is no longer wanted
      close_link,          // the pump has released the link of this generation
      application_failed,  // told: its connection broke and was reset
      application_reset,   // told: it was reset for this reason, if it was connected
      ended,               // the session is over; the last action
    };
    Kind kind;
    std::uint64_t generation = 0;          // connect, stop_attempt, close_link
    LinkFate fate = LinkFate::abrupt;      // close_link
    Reason reason = Reason::none;          // application_reset, ended
    boost::system::error_code error = {};  // application_failed
  };

  // What to wait for before pump() is called again.
  struct Interests {
    bool application_read = false;
    bool application_write = false;
    bool application_error = false;  // a wait to read covers it
    bool link_read = false;
    bool link_write = false;
    bool memory = false;  // until the pool has free segments again
    bool again = false;   // do not wait: call again after the other sessions
    std::optional<TimePoint> until;
  };

  // Whether an application is likely to have sent bytes by the time it is connected.
  enum class FirstWord : std::uint8_t { expected, unlikely };

  // What the pumps of one thread share.
  struct Memory {
    PipePools pools;
    // Room for one read from a link, at least kLeastScratchBytes. Its content is not kept.
    std::span<std::byte> scratch;
  };
  static constexpr std::size_t kLeastScratchBytes = std::size_t{16} << 10;

  // `memory` must outlive the pump. `seed` feeds the backoff's jitter. See BackedPipe for `ledger`.
  SessionPump(Session::Identity identity, Memory& memory, const SessionOptions& options,
              std::uint64_t seed, TimePoint now, LedgerEntry ledger = {});

  // See Session::restore.
  Result<void> restore(const SessionRecord& record, const HeldBytes& held);

  // For calls that change the session without moving bytes; pump() must follow.
  Session& session() { return session_; }
  const Session& session() const { return session_; }

  // --- the application

  // The application is connected; until then bytes for it wait in the pipe. False: it comes too
  // late, and the caller has to reset it. `end` must stay valid until it is closed or reset.
  [[nodiscard]] bool connect_application(ApplicationEnd& end, FirstWord first_word);
  bool application_open() const { return application_ != nullptr; }
  void application_ready(Direction direction);
  // The connection has an error, or both its directions have ended. If there is room, the data
  // before the error is read first.
  void application_broken();

  // --- links. `link` must stay valid until its close_link action.

  // Dialling side: see Session::begin_handshake.
  std::optional<Hello> begin_handshake(std::uint64_t generation, TimePoint now);
  // Dialling side: the server has welcomed this attempt. `early` came after the WELCOME. False: the
  // attempt was given up meanwhile, and the caller keeps the link.
  [[nodiscard]] bool welcomed(LinkEnd& link, const Welcome& welcome, ConstBytes early,
                              TimePoint now);
  // Accepting side: a HELLO that the registry admitted. An older link is released first. After an
  // error the caller keeps the link; errors: see Session::attach.
  Result<void> attach(LinkEnd& link, const Hello& hello, bool created, ConstBytes early,
                      TimePoint now);
  // See Session::distrust.
  void distrust(TimePoint now) { session_.distrust(now, link_); }
  // Ignored for any link but the current one.
  void link_ready(std::uint64_t generation, Direction direction);

  // --- work

  // Does all the work that can be done now, up to a fair share.
  Interests pump(TimeSource now);
  std::optional<Action> next_action();
  // See Session::park; pump() must follow until the link has been let go of. The application is not
  // touched any more.
  void park(Duration grace, TimePoint now) { session_.park(grace, now); }
  // Stops without telling the peer; the application is reset. The caller keeps the link.
  void abandon();
  bool over() const { return over_; }

  // Bytes delivered to the application, and read from it.
  std::uint64_t bytes_in() const { return bytes_in_; }
  std::uint64_t bytes_out() const { return bytes_out_; }

 private:
  // Large reads make a bulk transfer fast, but have a cost even when they return one byte: the size
  // grows up to this as long as reads fill it.
  static constexpr std::uint32_t kMostReadBytes = std::uint32_t{1} << 20;
  static constexpr std::size_t kReadPieces = kMostReadBytes / SegmentPool::kDefaultSegmentBytes + 1;

  // What an end is known to be able to do; pump() asks to wait for the rest.
  struct Ready {
    bool read = true;
    bool write = true;
  };

  Interests pump_parked(TimeSource now);
  bool application_can_write() const;
  bool hear_of_reset();
  void look_for_application(TimePoint now);
  bool read_application();
  bool write_application(TimeSource now);
  bool read_link(TimeSource now);
  bool write_link(TimeSource now);
  bool feed_link(ConstBytes bytes, std::size_t placed, TimePoint now);
  void adapt_read_size(std::size_t read_bytes);

  void adopt(LinkEnd& link, std::uint64_t generation, ConstBytes early);
  void drop_link(LinkFate fate);
  void link_failed(LinkError::Component component, boost::system::error_code error, TimePoint now);
  void application_failed(boost::system::error_code error);
  void reset_application(Reason reason);
  void run_actions();
  LinkFate link_fate() const;
  Interests interests(bool again, TimePoint now) const;

  // Bytes of the link that the session does not hold.
  struct Aside {
    std::vector<std::byte> preface;  // to be sent: the WELCOME, before any frame
    std::vector<std::byte> backlog;  // received when memory was short
  };
  ConstBytes preface() const { return aside_ ? ConstBytes(aside_->preface) : ConstBytes(); }
  bool has_backlog() const { return aside_ && !aside_->backlog.empty(); }
  Aside& aside();
  void tidy_aside();

  Memory& memory_;
  Session session_;

  ApplicationEnd* application_ = nullptr;
  LinkEnd* link_ = nullptr;
  std::uint64_t link_generation_ = 0;
  std::unique_ptr<Aside> aside_;  // usually none

  std::uint32_t application_read_bytes_;
  ApplicationWatch application_watch_;
  Ready application_ready_;
  Ready link_ready_;
  bool application_gone_ = false;  // its connection is broken: nothing more will arrive
  bool out_of_memory_ = false;
  bool over_ = false;

  std::vector<Action> actions_;  // few, usually none, and then without memory
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace backedpipe
