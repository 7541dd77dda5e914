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

// Once the caller is gone: how long the end of its input may take to come...
constexpr Duration kInputFor = milliseconds(100);
// ...and then the service to answer it by its own end, so that what was said last is heard.
constexpr Duration kEndFor = seconds(1);
// How long the server has to hear that a session is given up, when somebody may be waiting for us,
constexpr Duration kTellFor = seconds(1);
// and when nobody is: the network may be away just now.
constexpr Duration kTellAloneFor = seconds(30);

// A descriptor that is missing would be the number of the next thing that is opened. Reading from
// this is an end at once, and writing to it an error.
void fill_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    const int mode = descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", mode) < 0) throw std::runtime_error("cannot open /dev/null");
  }
}

// Whoever waits for their end waits no longer.
void let_go_of_standard_descriptors() {
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0) return;
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::dup2(nowhere, descriptor);
  ::close(nowhere);
}

// nohup(1) and shells that start something in the background mean it.
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
  boost::asio::steady_timer timer_;  // for the first link, later for steps towards the end
  std::shared_ptr<SessionDriver> session_;
  int exit_code_ = 0;
  bool linked_ = false;
  bool input_ended_ = false;
  bool reader_gone_ = false;
  bool output_ended_ = false;
  bool session_over_ = false;
  bool caller_gone_ = false;
  bool alone_ = false;     // nobody waits for this process
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
            // Before its end somebody may have nothing to hear and much to say.
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
    // Unless it is known already that it fails.
    if (exit_code_ == 0 && !caller_gone_) fail(why_ended(event.reason));
    exit_code_ = 1;
  }
  end_if_done();
}

// --- the end

void StdioSession::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    // Whoever asks twice does not want to wait. Not the hangup that ssh sends after it has left.
    if (caller_gone_ && signal != SIGHUP) {
      exit_code_ = 1;
      return io_.stop();
    }
    caller_gone(signal == SIGHUP);
    await_signal();
  });
}

// What it has written may still be on its way. `alone`: it does not wait for this process to end.
void StdioSession::caller_gone(bool alone) {
  if (std::exchange(caller_gone_, true)) return;
  alone_ = alone;
  notices_.silence();
  if (session_over_) return give_up();
  after(input_ended_ ? kEndFor : kInputFor, &StdioSession::give_up);
}

// The first link has had its time.
void StdioSession::look_for_link() {
  if (!linked_) give_up();
}

// The session ends here and now, and the server is to know.
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
  // A reader that is slow gets all there is.
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
  // A reader or a link that is gone is an error where it is written to, not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  return StdioSession(settings, options).run();
}

}  // namespace backedpipe
