#include "daemon/stdio.hpp"

#include <csignal>
#include <fcntl.h>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/link_notices.hpp"
#include "daemon/log.hpp"
#include "net/application/dialled_paths.hpp"
#include "net/application/stdio_bridge.hpp"
#include "net/application/tunnel_listener.hpp"
#include "net/dial/dialler.hpp"
#include "net/events/event_log.hpp"
#include "net/monitor/network_monitor.hpp"
#include "net/node/session_options.hpp"
#include "net/thread/blocked_signals.hpp"
#include "net/thread/event_loop.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// After the caller has gone: how long to wait for the end of its input...
constexpr Duration kInputFor = milliseconds(100);
// ...and then for the service to end its side, so that the caller's last data arrives.
constexpr Duration kEndFor = seconds(1);
// How long to try to tell the server that the session is given up, if a process may wait for us...
constexpr Duration kTellFor = seconds(1);
// ...and if none does: the network may be down at the moment.
constexpr Duration kTellAloneFor = seconds(30);

// The next file to be opened would get the number of a closed standard descriptor. The one that is
// opened here instead gives end of file on reading and an error on writing.
void fill_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    const int mode = descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", mode) < 0) throw std::runtime_error("cannot open /dev/null");
  }
}

// So that processes that wait for the other ends of these to be closed wait no longer.
void let_go_of_standard_descriptors() {
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0) return;
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::dup2(nowhere, descriptor);
  ::close(nowhere);
}

// nohup(1), and shells for background processes, ignore signals on purpose.
bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

std::string names_of(const PeerSettings& peer) {
  std::string names;
  for (const Endpoint& endpoint : peer.endpoints)
    names += (names.empty() ? "" : ", ") + to_string(endpoint);
  return names;
}

// The session, from its first dial to the exit code.
class StdioSession {
 public:
  StdioSession(const Settings& settings, const StdioOptions& options)
      : options_(options),
        peer_(settings.peers.front()),
        shared_(io_, settings.limits.max_memory_bytes),
        worker_(io_, shared_, 0, settings.limits.max_memory_bytes, session_options(settings)),
        sessions_(worker_, nullptr),
        dialler_(worker_, sessions_),
        tunnels_(worker_, sessions_, paths_of(dialler_)),
        monitor_(io_),
        bridge_(io_, STDIN_FILENO, STDOUT_FILENO),
        notices_(io_, names_of(peer_), options.connect_timeout),
        signals_(io_),
        timer_(io_) {
    ListeningSockets none;
    dialler_.use(dialler_.plan(settings, Dialler::read_security(settings)));
    tunnels_.use(tunnels_.plan(settings, none));
    shared_.events.listen_at_once(log_event);
    shared_.events.listen([this](const Event& event) { hear(event); });
    if (options.quiet) notices_.silence();
  }

  int run();

 private:
  void hear(const Event& event);
  void await_signal();
  void caller_gone(bool alone);
  void look_for_link();
  void give_up();
  void end_if_done();
  void after(Duration time, void (StdioSession::*then)());
  std::string why_ended(std::string_view reason) const;
  std::string why_no_link() const;
  void fail(const std::string& why);

  const StdioOptions& options_;
  const PeerSettings& peer_;
  boost::asio::io_context io_{1};
  SharedState shared_;
  WorkerContext worker_;
  SessionTable sessions_;
  Dialler dialler_;
  TunnelListener tunnels_;
  NetworkMonitor monitor_;
  StdioBridge bridge_;
  LinkNotices notices_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;  // for the first link, later for the steps of the end
  std::shared_ptr<SessionDriver> session_;
  int exit_code_ = 0;
  bool linked_ = false;
  bool input_ended_ = false;
  bool reader_gone_ = false;
  bool output_ended_ = false;
  bool session_over_ = false;
  bool caller_gone_ = false;
  bool alone_ = false;     // no process waits for this one
  bool given_up_ = false;  // the session
};

int StdioSession::run() {
  StreamSocket application = bridge_.start({
      .input_ended =
          [this] {
            input_ended_ = true;
            if (reader_gone_) caller_gone(true);
            if (caller_gone_ && !given_up_) after(kEndFor, &StdioSession::give_up);
          },
      .reader_gone =
          [this] {
            reader_gone_ = true;
            // Before the input has ended, a caller that reads nothing may still have data to send.
            if (input_ended_) caller_gone(true);
          },
      .output_ended =
          [this] {
            output_ended_ = true;
            end_if_done();
          },
      .failed =
          [this](const std::string& why) {
            if (!why.empty()) fail(why);
            exit_code_ = 1;
            output_ended_ = true;
            if (session_over_) return end_if_done();
            session_->reset(Reason::application_reset);
            give_up();
          },
  });
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(signal)) signals_.add(signal);
  }
  await_signal();
  monitor_.start([this](const NetworkChange& change) {
    shared_.gates.kick_all();
    log_change(change, {dialler_.network_changed(change, LocalAddresses::now())});
  });
  after(options_.connect_timeout, &StdioSession::look_for_link);
  const TunnelSettings tunnel{
      .name = "stdio", .listen = {}, .peer = peer_.name, .service = options_.service};
  session_ = tunnels_.open(tunnel, std::move(application));
  run_events(io_);
  block_signals();
  bridge_.stop();
  return exit_code_;
}

void StdioSession::hear(const Event& event) {
  notices_.hear(event);
  linked_ |= event.kind == Event::Kind::attach;
  if (event.kind != Event::Kind::close) return;
  session_over_ = true;
  if (event.reason != name(Reason::closed)) {
    // The cause of an earlier failure has been printed already.
    if (exit_code_ == 0 && !caller_gone_) fail(why_ended(event.reason));
    exit_code_ = 1;
  }
  end_if_done();
}

// --- the end

void StdioSession::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    // A second signal ends the process at once, except for the SIGHUP that ssh sends as it leaves.
    if (caller_gone_ && signal != SIGHUP) {
      exit_code_ = 1;
      return io_.stop();
    }
    caller_gone(signal == SIGHUP);
    await_signal();
  });
}

// The caller's last data may still be in the pipe. `alone`: the caller does not wait for this
// process to end.
void StdioSession::caller_gone(bool alone) {
  if (std::exchange(caller_gone_, true)) return;
  alone_ = alone;
  notices_.silence();
  if (session_over_) return give_up();
  after(input_ended_ ? kEndFor : kInputFor, &StdioSession::give_up);
}

// The time for the first link is up.
void StdioSession::look_for_link() {
  if (!linked_) give_up();
}

// Ends the session now and tries to tell the server. Called again, it ends the process.
void StdioSession::give_up() {
  if (std::exchange(given_up_, true)) return io_.stop();
  exit_code_ = 1;
  if (!linked_ && !caller_gone_ && !output_ended_) fail(why_no_link());
  notices_.silence();
  if (session_over_) return io_.stop();
  output_ended_ = true;
  after(alone_ ? kTellAloneFor : kTellFor, &StdioSession::give_up);
  // Before the bridge lets go of its end, which would look like the end of a complete stream.
  sessions_.reset_all(Reason::closed_by_operator);
  bridge_.stop();
  if (alone_) let_go_of_standard_descriptors();
}

void StdioSession::end_if_done() {
  // Without output_ended_, a slow reader could lose the last data.
  if (session_over_ && output_ended_) io_.stop();
}

void StdioSession::after(Duration time, void (StdioSession::*then)()) {
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(time));
  timer_.async_wait([this, then](const boost::system::error_code& cancelled) {
    if (!cancelled) (this->*then)();
  });
}

// --- in words

void StdioSession::fail(const std::string& why) {
  tell(why);
  exit_code_ = 1;
}

std::string StdioSession::why_ended(std::string_view reason) const {
  const std::string peer = names_of(peer_);
  const std::string service = "service \"" + options_.service + "\"";
  const std::string rejection = dialler_.peer(peer_.name).gate->view().rejection;
  if (reason == name(Reason::not_authorised)) {
    return rejection.empty() ? peer + " does not let us use " + service : rejection;
  }
  if (reason == name(Reason::unknown_service)) return peer + " has no " + service;
  if (reason == name(Reason::target_refused)) {
    return peer + " cannot reach the target of " + service;
  }
  if (reason == name(Reason::application_reset)) return service + " has reset the connection";
  if (reason == name(Reason::closed_by_operator)) return "closed on request at " + peer;
  if (reason == name(Reason::unknown_session)) {
    return peer + " does not know this session any more: it was started anew";
  }
  if (reason == name(Reason::expired)) return "the session was without a link for too long";
  return "the session has ended: " + std::string(reason);
}

std::string StdioSession::why_no_link() const {
  const SharedGate::View gate = dialler_.peer(peer_.name).gate->view();
  const std::string& why =
      session_->log().last_error().empty() ? gate.last_error : session_->log().last_error();
  return "no link to " + names_of(peer_) + " within " + in_words(options_.connect_timeout) +
         (why.empty() ? "" : ": " + why);
}

}  // namespace

int run_stdio(const Settings& settings, const StdioOptions& options) {
  fill_standard_descriptors();
  set_up_log(settings.log);
  // Writing to a reader or a link that is gone must be an error, not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  return StdioSession(settings, options).run();
}

}  // namespace backedpipe
