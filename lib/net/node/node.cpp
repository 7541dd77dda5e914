#include "net/node/node.hpp"

#include <algorithm>
#include <csignal>
#include <exception>
#include <numeric>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/events/event_log.hpp"
#include "net/keep/supervisor.hpp"
#include "net/link/graceful_close.hpp"
#include "net/node/descriptors.hpp"
#include "net/node/session_options.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;

// How long a stopping server still refuses new links with "shutting down".
constexpr auto kRefuseFor = milliseconds(250);
// How long a client's sessions have to tell their servers.
constexpr auto kCloseFor = milliseconds(1000);
constexpr auto kTombstoneSweep = std::chrono::seconds(10);
constexpr auto kLookEvery = milliseconds(10);
constexpr auto kLookForSessionsEvery = milliseconds(100);

// Returns the names of the changed settings that need a restart. Copies their values from `running`
// to `fresh`, so that `fresh` says what is in use.
std::vector<std::string> keep_until_restart(const Settings& running, Settings& fresh) {
  std::vector<std::string> differ;
  const auto keep = [&differ](const char* name, const auto& old, auto& now) {
    if (old != now) differ.emplace_back(name);
    now = old;
  };
  keep("control.socket", running.control.socket, fresh.control.socket);
  keep("control.mode", running.control.mode, fresh.control.mode);
  keep("control.group", running.control.group, fresh.control.group);
  keep("metrics.listen", running.metrics.listen, fresh.metrics.listen);
  keep("log.format", running.log.format, fresh.log.format);
  keep("workers", running.workers, fresh.workers);
  keep("limits.max_memory", running.limits.max_memory_bytes, fresh.limits.max_memory_bytes);
  return differ;
}

// The identity that every client has, if there can be only one.
bool have_one_identity(const LinkListeners::Securities& of_listeners) {
  return std::all_of(of_listeners.begin(), of_listeners.end(), [&](const LinkSecurity& each) {
    return each.only_identity && each.only_identity == of_listeners.front().only_identity;
  });
}

}  // namespace

Node::Node(boost::asio::io_context& io, Settings settings, PassedSockets passed,
           KeptDescriptors& kept, Checked<Keeper> keeper, Reread reread)
    : settings_(std::move(settings)),
      reread_(std::move(reread)),
      shared_(io, settings_.limits.max_memory_bytes),
      continuity_(begin_continuity(std::move(keeper), kept)),
      workers_(shared_, worker_count(settings_), settings_.limits.max_memory_bytes,
               session_options(settings_), continuity_.get()),
      descriptors_in_use_(backedpipe::descriptors_in_use()),
      monitor_(io),
      metrics_(shared_, workers_),
      timer_(io),
      tombstone_timer_(io),
      lasting_timer_(io) {
  shared_.events.listen_at_once(log_event);
  ListeningSockets sockets(passed, kept);
  use(settings_, sockets);
  passed.require_all_taken();
  if (settings_.control.socket) {
    control_ = std::make_unique<ControlServer>(io, shared_, workers_, settings_.control, *this);
  }
  if (settings_.metrics.listen) {
    http_ = std::make_unique<HttpServer>(io, shared_.accept_failures, *settings_.metrics.listen,
                                         [this](std::string_view path) { return page(path); });
  }
  limit_reports();
}

Node::~Node() {
  // The threads must end while everything that they refer to still exists.
  workers_.stop();
}

void Node::start() {
  restore();
  workers_.start();
  workers_.gather([](Worker& worker) {
    worker.tunnels.resume_restored(nullptr);
    worker.acceptor.resume_restored(nullptr);
    worker.dialler.start();
    worker.tunnels.start();
    worker.acceptor.start();
  });
  watch_network();
  forget_tombstones_later();
  look_whether_it_lasts();
  if (control_) control_->start();
  if (http_) http_->start();
  ready_ = true;
}

// Only the dialling side reacts to network changes.
void Node::watch_network() {
  if (settings_.tunnels.empty() || std::exchange(watching_network_, true)) return;
  monitor_.start([this](const NetworkChange& change) {
    shared_.gates.kick_all();
    log_change(change, workers_.gather([&change](Worker& worker) {
      return worker.dialler.network_changed(change, LocalAddresses::now());
    }));
  });
}

// Checks all settings and binds every listener before it uses any of them. Throws.
void Node::use(const Settings& wanted, ListeningSockets& sockets) {
  const DescriptorPlan descriptors =
      plan_descriptors(descriptor_demand(wanted, workers_.size(), descriptors_in_use_));
  const Settings settings = fit(wanted, descriptors, workers_.size());
  const Dialler::SecurityOfPeers of_peers = Dialler::read_security(settings);
  const LinkListeners::Securities of_listeners = LinkListeners::read_security(settings);
  struct Plans {
    Dialler::Plan of_dialler;
    TunnelListener::Plan of_tunnels;
    Acceptor::Plan of_acceptor;
  };
  std::vector<Plans> plans;
  for (const auto& worker : workers_.all()) {
    plans.push_back({worker->dialler.plan(settings, of_peers),
                     worker->tunnels.plan(settings, sockets),
                     worker->acceptor.plan(settings, of_listeners, sockets)});
  }
  warn_of_shortage(wanted, descriptors, workers_.size());
  descriptors_ = descriptors;
  limit_sessions(wanted.limits, have_one_identity(of_listeners));
  workers_.gather([&](Worker& worker) {
    ClosingLinks::of(worker.io).limit(descriptors.closing / workers_.size());
    auto& [of_dialler, of_tunnels, of_acceptor] = plans[worker.context.number()];
    worker.context.use(session_options(settings));
    worker.dialler.use(std::move(of_dialler));
    worker.tunnels.use(std::move(of_tunnels));
    worker.acceptor.use(std::move(of_acceptor));
  });
  shared_.gates.kick_all();
  keep_listeners();
}

void Node::limit_sessions(const Limits& limits, bool one_identity) {
  const auto& own = limits.max_sessions_per_identity;
  const std::size_t possible = descriptors_.accepted_sessions;
  const auto by_default = [one_identity](std::size_t sessions) {
    return default_sessions_per_identity(sessions, one_identity);
  };
  shared_.directory.limit(
      {.max_sessions = limits.max_sessions,
       .max_sessions_per_identity = own.value_or(by_default(limits.max_sessions)),
       .possible_sessions = possible,
       .possible_sessions_per_identity = own ? possible : by_default(possible)},
      std::min(limits.max_handshakes, descriptors_.handshakes));
}

void Node::limit_reports() {
  if (control_) control_->limit(descriptors_.control);
  if (http_) http_->limit(descriptors_.metrics);
}

ReloadOutcome Node::reload() {
  const auto refuse = [](std::string why) {
    spdlog::error("reload: nothing is changed: {}", why);
    return ReloadOutcome{std::move(why)};
  };
  if (!ready_ || draining()) return refuse("the daemon is being stopped");
  ReloadOutcome outcome;
  try {
    Settings fresh = reread_();
    outcome.after_restart = keep_until_restart(settings_, fresh);
    ListeningSockets sockets;
    use(fresh, sockets);
    limit_reports();
    if (settings_.log.level != fresh.log.level) set_log_level(fresh.log.level);
    settings_ = std::move(fresh);
    watch_network();
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
  for (const std::string& name : outcome.after_restart)
    spdlog::warn("reload: {} has changed and is used after a restart only", name);
  spdlog::info("reload: {} tunnels, {} peers, {} listeners, {} services", settings_.tunnels.size(),
               settings_.peers.size(), settings_.accept.size(), settings_.services.size());
  return outcome;
}

// --- the end

DrainOutcome Node::drain(std::optional<Duration> timeout) {
  const Duration wait = timeout.value_or(settings_.limits.shutdown_timeout);
  const bool already = draining();
  drain_until_ = steady_now() + wait;
  DrainOutcome outcome{sessions_to_wait_for(), wait};
  if (wait > Duration(0)) {
    spdlog::info("draining: {} sessions, {} s at most", outcome.sessions,
                 std::chrono::duration_cast<std::chrono::seconds>(wait).count());
  }
  if (already) return outcome;
  drop_listeners();
  workers_.gather([](Worker& worker) {
    worker.tunnels.drain();
    worker.dialler.drain();
    worker.acceptor.drain();
  });
  // Later, so that the caller gets the answer first.
  look_whether_drained_later();
  return outcome;
}

UpgradeOutcome Node::upgrade() {
  const std::optional<pid_t> parent = supervisor();
  if (!parent || ::kill(*parent, SIGUSR2) != 0) return {};
  spdlog::info("upgrade: the supervisor, process {}, has been told", *parent);
  return {*parent};
}

// Sessions with a link, and those that lost theirs so recently that they may get another.
std::size_t Node::sessions_to_wait_for() {
  const TimePoint recently = steady_now() - settings_.liveness.dead;
  const auto counts = workers_.gather([recently](Worker& worker) {
    std::size_t count = 0;
    for (const auto* sessions : {&worker.dialled.all(), &worker.accepted.all()}) {
      for (const auto& [id, driver] : *sessions) {
        count += driver->session().pipe().state() == PipeState::connected ||
                 driver->log().without_link_since() > recently;
      }
    }
    return count;
  });
  return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

void Node::look_whether_drained() {
  const bool over = steady_now() >= *drain_until_;
  if (over || sessions_to_wait_for() == 0) {
    spdlog::info(over ? "drained: the time is over" : "drained");
    if (drained_) std::exchange(drained_, nullptr)();
    return;
  }
  look_whether_drained_later();
}

void Node::look_whether_drained_later() {
  timer_.expires_after(kLookForSessionsEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_whether_drained();
  });
}

void Node::stop(std::function<void()> stopped) {
  stopped_ = std::move(stopped);
  stop_began_ = steady_now();
  const SessionCounts counts = session_counts();
  spdlog::info("stopping: {} sessions", counts.connected + counts.away);
  monitor_.stop();
  tombstone_timer_.cancel();
  ends_in_order();
  ready_ = false;
  if (control_) control_->stop();
  drop_listeners();
  workers_.gather([](Worker& worker) {
    worker.tunnels.drain();
    worker.dialler.drain();
    worker.dialled.reset_all(Reason::closed_by_operator);
    worker.acceptor.stop();
  });
  look_whether_stopped();
}

void Node::forget_tombstones_later() {
  tombstone_timer_.expires_after(kTombstoneSweep);
  tombstone_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    shared_.directory.tick(steady_now());
    forget_tombstones_later();
  });
}

void Node::ask(std::function<void()> all_are) {
  workers_.ask([home = timer_.get_executor(), all_are = std::move(all_are)] {
    boost::asio::post(home, all_are);
  });
}

Node::SessionCounts Node::session_counts() {
  const auto parts = workers_.gather([](Worker& worker) {
    SessionCounts counts;
    for (const auto* sessions : {&worker.dialled.all(), &worker.accepted.all()}) {
      for (const auto& [id, driver] : *sessions) {
        const bool connected = driver->session().pipe().state() == PipeState::connected;
        ++(connected ? counts.connected : counts.away);
      }
    }
    return counts;
  });
  SessionCounts sum;
  for (const SessionCounts& part : parts) {
    sum.connected += part.connected;
    sum.away += part.away;
  }
  return sum;
}

std::optional<HttpServer::Page> Node::page(std::string_view path) {
  HttpServer::Page page;
  if (path == "/metrics") {
    page.content_type = "text/plain; version=0.0.4; charset=utf-8";
    page.body = metrics_.text();
  } else if (path == "/healthz") {
    page.body = "ok\n";
  } else if (path == "/readyz") {
    const bool ready = ready_ && !draining();
    page.status = ready ? 200 : 503;
    page.body = ready ? "ready\n" : ready_ ? "draining\n" : "stopping\n";
  } else {
    return std::nullopt;
  }
  return page;
}

void Node::look_whether_stopped() {
  const Duration since = steady_now() - stop_began_;
  const bool told = shared_.client_sessions == 0 || since >= kCloseFor;
  const bool refused = settings_.accept.empty() || since >= kRefuseFor;
  if (told && refused) {
    spdlog::info("stopped");
    std::exchange(stopped_, nullptr)();
    return;
  }
  timer_.expires_after(kLookEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_whether_stopped();
  });
}

}  // namespace backedpipe
