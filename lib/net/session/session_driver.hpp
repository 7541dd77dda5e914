// SessionDriver: runs the pump of one session on sockets. It waits for what the pump asks for, sets
// its timer, executes its actions, and reports what happens. Every handler ends in pump(); nothing
// else touches the session.
//
// Lives on its worker's thread, kept alive by its SessionTable and by pending waits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "net/link/transport.hpp"
#include "net/session/session_log.hpp"
#include "net/socket/application_socket.hpp"
#include "net/socket/readiness.hpp"
#include "net/thread/worker_context.hpp"
#include "net/timer.hpp"
#include "session/pump/session_pump.hpp"
#include "session/recover.hpp"

namespace backedpipe {

class SessionDriver;

// Where a session gets its links from, if this daemon dials them.
class LinkSupply {
 public:
  virtual ~LinkSupply() = default;
  // Dials a link of this generation. The outcome is reported to the driver's own functions.
  virtual void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) = 0;
  // Stops the attempt of this generation if it is still under way; no outcome follows.
  virtual void give_up(SessionDriver& driver, std::uint64_t generation) = 0;
};

// Takes over a link from a session that has ended cleanly.
class LinkKeeper {
 public:
  virtual ~LinkKeeper() = default;
  // The session ended cleanly on this link, which can carry another session.
  virtual void released(std::unique_ptr<Transport> link, SessionDriver& driver) = 0;
};

// Keeps account of sessions.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  virtual void attached(SessionDriver& driver) = 0;
  virtual void detached(SessionDriver& driver) = 0;
  // The last report about this driver: forget it.
  virtual void ended(SessionDriver& driver, Reason reason) = 0;
};

class SessionDriver : public std::enable_shared_from_this<SessionDriver> {
 public:
  using FirstWord = SessionPump::FirstWord;

  struct Links {
    LinkSupply* supply;  // null: the peer dials
    LinkKeeper& keeper;
  };

  // See SessionLog for `labels` and `application`. `recovered`: what restore() will get, if the
  // session is of the process before this one; null for a new one.
  SessionDriver(WorkerContext& worker, const Links& links, SessionObserver& observer,
                const Session::Identity& identity, SharedLabels::Labels labels,
                std::string application, const Recovered* recovered = nullptr);

  // --- for its owner

  // Publishes the event that the session was opened.
  void announce() { log_.opened(); }
  // Gives the session its application's socket, which must be non-blocking. Until then, bytes for
  // the application wait in the pipe.
  void connect_application(StreamSocket socket, FirstWord first_word);
  // Precondition: newly made. Continues a session of the process before this one; `application` is
  // its connection, if it has one. Its pump does not run before resume(). After an error, which is
  // one of Session::restore(), the application has been reset and the driver is of no use.
  Result<void> restore(const Recovered& recovered, std::optional<StreamSocket> application);
  void resume();
  // Dialling side: asks for the first link.
  void start();
  // Requested by an operator or by the daemon; see Session.
  bool reconnect();
  void reset(Reason reason);
  // See Session::park.
  void park(Duration grace);
  // The daemon stops: closes all sockets without telling the peer.
  void abandon();

  // --- its link; see Session

  void distrust();
  void ask();
  void try_now();

  // --- dialling side: attempts

  // The transport of an attempt is ready. Before the session gives up its suspect link, that link
  // is read once more: it may have answered.
  std::optional<Hello> begin_handshake(std::uint64_t generation);
  // `early` are bytes that came after the WELCOME.
  void welcomed(std::unique_ptr<Transport> link, const Welcome& welcome, ConstBytes early);
  void refused(std::uint64_t generation, const Refused& refused);
  void attempt_failed(std::uint64_t generation, bool rejected, const std::string& why);
  void attempt_void(std::uint64_t generation, const std::string& why);

  // --- accepting side

  struct NotAttached {
    std::unique_ptr<Transport> link;  // the caller refuses it with the error
    boost::system::error_code error;
  };
  // The registry admitted the HELLO that came over `link`. Returns nothing if the session took the
  // link.
  [[nodiscard]] std::optional<NotAttached> attach(std::unique_ptr<Transport> link,
                                                  const Hello& hello, bool created,
                                                  ConstBytes early);

  // --- its state

  const Session& session() const { return pump_.session(); }
  // Its application is connected, and its connection has not ended.
  bool has_application() const { return pump_.application_open(); }
  const SessionLog& log() const { return log_; }
  const SessionLabels& labels() const { return log_.labels(); }
  // The address of the current link; empty without a link.
  std::string link_address() const;
  bool has_link() const { return link_ != nullptr; }
  // The local address of the current link; nothing without a link.
  std::optional<boost::asio::ip::address> local_address() const;

 private:
  static LedgerEntry record_of(WorkerContext& worker, const Session::Identity& identity,
                               const SharedLabels::Shared& labels, const Recovered* recovered);
  void keep_connection();
  void give_up_keeping();
  void pump();
  void pump_later();
  void execute(const SessionPump::Action& action);
  void close_link(const SessionPump::Action& action);
  void adopt(std::unique_ptr<Transport> link, std::uint64_t generation);
  void end(Reason reason);
  void tell_state();

  void arm(const SessionPump::Interests& wanted);
  void wait_application(SessionPump::Direction direction);
  void wait_application_error();
  void wait_link(SessionPump::Direction direction);
  void wait_for_memory();
  void arm_timer(std::optional<TimePoint> due);

  WorkerContext& worker_;
  Links links_;
  SessionObserver& observer_;
  SessionPump pump_;
  SessionLog log_;

  ApplicationSocket application_;
  Readiness application_readiness_;
  std::unique_ptr<Transport> link_;
  std::uint64_t link_generation_ = 0;
  Readiness link_readiness_;

  Timer timer_;
  std::optional<TimePoint> timer_at_;
  bool pump_posted_ = false;
  bool waiting_for_memory_ = false;
  bool finished_ = false;
};

}  // namespace backedpipe
