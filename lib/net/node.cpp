#include "net/node.hpp"

#include <exception>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/event_log.hpp"
#include "net/session_options.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;

// How long those who come while a server stops are still told so.
constexpr auto kRefuseFor = milliseconds(250);
// How long a client's sessions have to tell their servers.
constexpr auto kCloseFor = milliseconds(1000);
constexpr auto kLookEvery = milliseconds(10);
constexpr auto kLookForSessionsEvery = milliseconds(100);

// The settings in which the two differ and that are used at the start only; `running` are taken
// over into `fresh`, so that they go on saying what is the case.
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

}  // namespace

Node::Node(boost::asio::io_context& io, Settings settings, PassedSockets passed, Reread reread)
    : settings_(std::move(settings)),
      reread_(std::move(reread)),
      worker_(io, settings_.limits.max_memory_bytes, session_options(settings_)),
      client_(worker_),
      server_(worker_),
      monitor_(io),
      metrics_(worker_, client_, server_),
      timer_(io) {
  worker_.events().listen(log_event);
  client_.use(client_.plan(settings_, passed));
  server_.use(server_.plan(settings_, passed));
  passed.require_all_taken();
  if (settings_.control.socket) {
    control_ = std::make_unique<ControlServer>(worker_, settings_.control, client_, server_, *this);
  }
  if (settings_.metrics.listen) {
    http_ = std::make_unique<HttpServer>(worker_, *settings_.metrics.listen,
                                         [this](std::string_view path) { return page(path); });
  }
}

Node::~Node() = default;

void Node::start() {
  if (settings_.workers > 1) {
    spdlog::warn("workers: {} asked for; this version runs one", settings_.workers);
  }
  client_.start();
  watch_network();
  server_.start();
  if (control_) control_->start();
  if (http_) http_->start();
  ready_ = true;
}

// Only who dials can do anything about it.
void Node::watch_network() {
  if (client_.tunnels().empty() || std::exchange(watching_network_, true)) return;
  monitor_.start([this](const NetworkChange& change) { apply(change, client_); });
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
    // All of it before any of it is used.
    PassedSockets none;
    Client::Plan of_client = client_.plan(fresh, none);
    Server::Plan of_server = server_.plan(fresh, none);
    const bool new_level = settings_.log.level != fresh.log.level;
    settings_ = std::move(fresh);
    if (new_level) set_log_level(settings_.log.level);
    worker_.use(session_options(settings_));
    client_.use(std::move(of_client));
    server_.use(std::move(of_server));
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
  drain_until_ = Worker::now() + wait;
  DrainOutcome outcome{sessions_to_wait_for(), wait};
  spdlog::info("draining: {} sessions, {} s at most", outcome.sessions,
               std::chrono::duration_cast<std::chrono::seconds>(wait).count());
  if (already) return outcome;
  client_.drain();
  server_.drain();
  // Not at once: whoever asked is to have his answer first.
  look_whether_drained_later();
  return outcome;
}

// Those with a link, and those that may just be about to have one again.
std::size_t Node::sessions_to_wait_for() const {
  const TimePoint recently = Worker::now() - settings_.liveness.dead;
  std::size_t count = 0;
  for (const auto* sessions : {&client_.sessions(), &server_.sessions()}) {
    for (const auto& [id, driver] : *sessions) {
      count += driver->session().pipe().state() == PipeState::connected ||
               driver->without_link_since() > recently;
    }
  }
  return count;
}

void Node::look_whether_drained() {
  const bool over = Worker::now() >= *drain_until_;
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
  stop_began_ = Worker::now();
  spdlog::info("stopping: {} sessions", client_.sessions().size() + server_.sessions().size());
  monitor_.stop();
  ready_ = false;
  if (control_) control_->stop();
  client_.stop();
  server_.stop();
  look_whether_stopped();
}

Node::SessionCounts Node::session_counts() const {
  SessionCounts counts;
  for (const auto* sessions : {&client_.sessions(), &server_.sessions()}) {
    for (const auto& [id, driver] : *sessions) {
      const bool connected = driver->session().pipe().state() == PipeState::connected;
      ++(connected ? counts.connected : counts.away);
    }
  }
  return counts;
}

std::optional<HttpServer::Page> Node::page(std::string_view path) const {
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
  const Duration since = Worker::now() - stop_began_;
  const bool told = client_.sessions().empty() || since >= kCloseFor;
  const bool refused = server_.entries().empty() || since >= kRefuseFor;
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
