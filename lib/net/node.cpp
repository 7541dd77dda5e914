#include "net/node.hpp"

#include <exception>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/event_log.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;

// How long those who come while a server stops are still told so.
constexpr auto kRefuseFor = milliseconds(250);
// How long a client's sessions have to tell their servers.
constexpr auto kCloseFor = milliseconds(1000);
constexpr auto kLookEvery = milliseconds(10);

SessionOptions session_options(const Settings& settings) {
  SessionOptions options;
  options.pipe.replay_buffer_bytes = settings.limits.replay_buffer_bytes;
  options.pipe.max_window_bytes = settings.limits.max_window_bytes;
  options.liveness = {.ping = settings.liveness.ping,
                      .suspect = settings.liveness.suspect,
                      .dead = settings.liveness.dead};
  options.resume_timeout = settings.limits.resume_timeout;
  return options;
}

}  // namespace

Node::Node(boost::asio::io_context& io, const Settings& settings, PassedSockets passed)
    : settings_(settings),
      worker_(io, settings.limits.max_memory_bytes, session_options(settings)),
      client_(worker_, settings, passed),
      server_(worker_, settings, passed),
      monitor_(io),
      metrics_(worker_, client_, server_),
      timer_(io) {
  worker_.events().listen(log_event);
  passed.require_all_taken();
  if (settings.control.socket) {
    control_ = std::make_unique<ControlServer>(worker_, settings.control, client_, server_,
                                               [this] { return reload(); });
  }
  if (settings.metrics.listen) {
    http_ = std::make_unique<HttpServer>(worker_, *settings.metrics.listen,
                                         [this](std::string_view path) { return page(path); });
  }
}

Node::~Node() = default;

void Node::start() {
  if (settings_.workers > 1) {
    spdlog::warn("workers: {} asked for; this version runs one", settings_.workers);
  }
  client_.start();
  // Only who dials can do anything about it.
  if (!client_.tunnels().empty()) {
    monitor_.start([this](const NetworkChange& change) { apply(change, client_); });
  }
  server_.start();
  if (control_) control_->start();
  if (http_) http_->start();
  ready_ = true;
}

std::optional<std::string> Node::reload() {
  try {
    // All of it before any of it is used.
    Client::PeerSecurity of_peers = client_.read_security();
    std::vector<LinkSecurity> of_listeners = server_.read_security();
    client_.use(std::move(of_peers));
    server_.use(std::move(of_listeners));
  } catch (const std::exception& error) {
    spdlog::error("reload: nothing is changed: {}", error.what());
    return error.what();
  }
  spdlog::info("reload: read the keys and certificates of {} peers and {} listeners",
               client_.peers().size(), server_.entries().size());
  return std::nullopt;
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
    page.status = ready_ ? 200 : 503;
    page.body = ready_ ? "ready\n" : "stopping\n";
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
