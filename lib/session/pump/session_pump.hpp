// SessionPump: moves the bytes of one session between its application, the Session and its link, in
// the one right order. It holds what belongs to no single part: the reply that goes out before any
// frame, bytes from the link that found no memory, how much to read at once, and what each end is
// known to be able to do. No I/O of its own, no clock: the ends are interfaces, time is an argument.
//
// Whoever runs it reports what happened (an end is ready, a link is there, time has passed), calls
// pump(), executes the actions, and waits for what pump() returned.
//
// Owned by a SessionDriver, on its worker's thread; by the simulation, which drives the same one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/system/error_code.hpp>

#include "session/pump/ends.hpp"
#include "session/session.hpp"

namespace backedpipe {

class SessionPump {
 public:
  enum class Direction : std::uint8_t { read, write };

  // What becomes of a link that the session lets go of.
  enum class LinkFate : std::uint8_t {
    abrupt,    // it is closed at once; what is still on its way out may be lost
    graceful,  // what was written last still has to arrive
    reuse,     // nothing is under way on it: it can carry another session
  };

  // What is to be done, or has been done and is to be told, in this order.
  struct Action {
    enum class Kind : std::uint8_t {
      connect,             // dial a link of this generation
      stop_attempt,        // the attempt of this generation is no longer wanted
      close_link,          // the pump has let go of the link of this generation
      application_failed,  // told: its connection broke, and has been reset
      application_reset,   // told: it has been reset for this reason, if it was there
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
    bool memory = false;  // some of the pool has been given back
    bool again = false;   // nothing: there is more to do, but others come first
    std::optional<TimePoint> until;
  };

  // Whether an application has something to read as soon as it is there.
  enum class FirstWord : std::uint8_t { expected, unlikely };

  // `seed` feeds the backoff's jitter. `scratch` is room for one read from a link, of at least
  // kLeastScratchBytes, whose content need not last; pumps of one thread share it.
  SessionPump(Session::Identity identity, SegmentPool& pool, const SessionOptions& options,
              std::uint64_t seed, MutableBytes scratch, TimePoint now);

  static constexpr std::size_t kLeastScratchBytes = std::size_t{16} << 10;

  // What changes the session without moving bytes is called on it directly; pump() follows.
  Session& session() { return session_; }
  const Session& session() const { return session_; }

  // --- the application

  // Its connection is there; until then bytes for it wait in the pipe. False: it comes too late, and
  // has to be reset by the caller. `end` outlives its use: until it was closed or reset.
  [[nodiscard]] bool connect_application(ApplicationEnd& end, FirstWord first_word);
  bool application_open() const { return application_ != nullptr; }
  void application_ready(Direction direction);
  // Something is wrong with its connection, or both its directions have ended. Where there is room,
  // the data before the error is read first.
  void application_broken();

  // --- links. `link` outlives its use: until its close_link action.

  // Dialling side: see Session::begin_handshake.
  std::optional<Hello> begin_handshake(std::uint64_t generation, TimePoint now);
  // Dialling side: the server has welcomed this attempt. `early` came after the WELCOME. False: the
  // attempt was given up meanwhile, and the link stays the caller's.
  [[nodiscard]] bool welcomed(LinkEnd& link, const Welcome& welcome, ConstBytes early,
                              TimePoint now);
  // Accepting side: a HELLO that the registry has let through. The older link, if there is one, is
  // let go of first. Errors, which leave the link with the caller: see Session::attach.
  Result<void> attach(LinkEnd& link, const Hello& hello, bool created, ConstBytes early,
                      TimePoint now);
  // See Session::distrust.
  void distrust(TimePoint now) { session_.distrust(now, link_); }
  // Of another link than the current one: ignored.
  void link_ready(std::uint64_t generation, Direction direction);

  // --- work

  // Does all that can be done now, up to a fair share.
  Interests pump(TimePoint now);
  std::optional<Action> next_action();
  // Lets go of everything without a word to anybody: the application is reset. The link stays the
  // caller's.
  void abandon();
  bool over() const { return over_; }

  // Bytes given to the application, and taken from it.
  std::uint64_t bytes_in() const { return bytes_in_; }
  std::uint64_t bytes_out() const { return bytes_out_; }

 private:
  // What an end can do as far as is known. What it cannot do is waited for.
  struct Ready {
    bool read = true;
    bool write = true;
  };

  bool application_can_write() const;
  bool hear_of_reset();
  bool read_application();
  bool write_application(TimePoint now);
  bool read_link(TimePoint now);
  bool write_link(TimePoint now);
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

  SegmentPool& pool_;
  MutableBytes scratch_;
  Session session_;

  ApplicationEnd* application_ = nullptr;
  Ready application_ready_;
  bool application_finished_ = false;  // it will write nothing more
  bool application_gone_ = false;      // what it has written is there, and nothing more will be
  std::uint32_t application_read_bytes_;

  LinkEnd* link_ = nullptr;
  std::uint64_t link_generation_ = 0;
  Ready link_ready_;
  std::vector<std::byte> preface_;  // the WELCOME, before any frame
  std::vector<std::byte> backlog_;  // read from the link when memory was short

  std::vector<Action> actions_;  // few, and none most of the time: then it holds no memory
  bool out_of_memory_ = false;
  bool over_ = false;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace backedpipe
