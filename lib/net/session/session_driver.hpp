// SessionDriver: the I/O of one session. It moves bytes between the application's socket, the
// Session and the link's Transport, executes the session's actions, and keeps its one timer. Every
// handler ends in pump(), which does all that can be done now; nothing else touches the session.
//
// Lives on its worker's thread, kept alive by its owner and by the waits in flight.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/link/transport.hpp"
#include "net/session/session_log.hpp"
#include "net/thread/worker_context.hpp"
#include "net/timer.hpp"
#include "session/session.hpp"

namespace backedpipe {

class SessionDriver;

// Where a session gets its links from; for sessions whose links this daemon dials.
class LinkSupply {
 public:
  virtual ~LinkSupply() = default;
  // Dial a link of this generation. The outcome comes back by the driver's own functions.
  virtual void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) = 0;
  // The attempt of this generation, if it is still under way, is no longer wanted: no outcome.
  virtual void give_up(SessionDriver& driver, std::uint64_t generation) = 0;
};

// Where a link goes that a session leaves in good order.
class LinkKeeper {
 public:
  virtual ~LinkKeeper() = default;
  // The session has come to a clean end on this link, which can carry another session.
  virtual void released(std::unique_ptr<Transport> link, SessionDriver& driver) = 0;
};

// Who keeps account of sessions.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  virtual void attached(SessionDriver& driver) = 0;
  virtual void detached(SessionDriver& driver) = 0;
  // The last report of a driver: forget it.
  virtual void ended(SessionDriver& driver, Reason reason) = 0;
};

class SessionDriver : public std::enable_shared_from_this<SessionDriver> {
 public:
  struct Links {
    LinkSupply* supply;  // null: the peer dials
    LinkKeeper& keeper;
  };

  // See SessionLog for `labels` and `application`.
  SessionDriver(WorkerContext& worker, const Links& links, SessionObserver& observer,
                Session::Identity identity, SharedLabels::Labels labels, std::string application);

  // --- for the owner

  // The application's socket is there, and does not block; before that, bytes for it wait in the
  // pipe.
  void connect_application(StreamSocket socket);
  void start();  // client: wants its first link
  // The owner has made it: tells whoever listens.
  void announce() { log_.opened(); }
  // An operator's or the daemon's wish; see Session.
  bool reconnect();
  void reset(Reason reason);
  // The daemon stops and the other side need not know: lets go of all sockets.
  void abandon();

  // Client: the transport of an attempt is ready; see Session::hello.
  std::optional<Hello> hello(std::uint64_t generation);
  // See Session.
  void distrust();
  void ask();
  void try_now();

  // Client: how the attempt went. `early` are bytes that came behind the WELCOME.
  void welcomed(std::unique_ptr<Transport> link, const Welcome& welcome, ConstBytes early);
  void refused(std::uint64_t generation, const Refused& refused);
  void attempt_failed(std::uint64_t generation, bool rejected, const std::string& why);
  // See Session.
  void attempt_void(std::uint64_t generation, const std::string& why);

  // Server: a HELLO that the registry has let through has come over `link`. On an error the link is
  // still the caller's, to be refused with it.
  Result<void> attach(std::unique_ptr<Transport>& link, const Hello& hello, bool created,
                      ConstBytes early);

  // --- what it is

  Session& session() { return session_; }
  const Session& session() const { return session_; }
  const SessionLog& log() const { return log_; }
  const SessionLabels& labels() const { return log_.labels(); }
  // Of the link there is, or empty.
  std::string link_address() const;
  // This end of it; nothing when there is no link.
  std::optional<boost::asio::ip::address> local_address() const;

 private:
  enum class Direction : std::uint8_t { read, write };

  // What a socket can do as far as is known. What it cannot do is waited for.
  struct Readiness {
    bool readable = true;
    bool writable = true;
    bool waiting_read = false;
    bool waiting_write = false;
  };

  void pump();
  void pump_later();
  bool application_can_write() const;
  bool read_application();
  bool write_application();
  bool read_link();
  bool write_link();
  bool feed_link(ConstBytes bytes, std::size_t placed = 0);
  void ask_tcp();
  void run_actions();
  void watch_state();
  void arm();
  void arm_application();
  void arm_link();
  void arm_timer();
  void watch_application();
  void wait_for_memory();
  void wait_application(Direction direction);
  void wait_link(Direction direction);

  void adopt(std::unique_ptr<Transport> link, std::uint64_t generation, ConstBytes early);
  void application_failed(boost::system::error_code error);
  void link_failed(LinkError::Component component, boost::system::error_code error);
  void close_application();
  void reset_application(Reason reason);
  void close_link(std::uint64_t generation, bool gracefully);
  void release_link();
  void finish(Reason reason);

  WorkerContext& worker_;
  Links links_;
  SessionObserver& observer_;
  Session session_;
  SessionLog log_;

  StreamSocket application_;
  Readiness application_ready_;
  bool application_open_ = false;
  bool application_eof_ = false;
  std::uint32_t application_read_bytes_;
  bool application_watched_ = false;
  bool application_gone_ = false;  // what it has written is there, and nothing more will be

  std::unique_ptr<Transport> link_;
  std::uint64_t link_generation_ = 0;
  Readiness link_ready_;
  std::vector<std::byte> preface_;  // the WELCOME, before any frame
  std::vector<std::byte> backlog_;  // read from the link, but memory was short

  Timer timer_;
  std::optional<TimePoint> timer_at_;
  bool pump_posted_ = false;
  bool out_of_memory_ = false;  // the pool was exhausted: look again when some is freed
  bool waiting_for_memory_ = false;
  bool finished_ = false;
};

}  // namespace backedpipe
