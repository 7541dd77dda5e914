#include "net/application/tunnel_listener.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/socket/application_options.hpp"
#include "pipe/invariant.hpp"
#include "proto/wire.hpp"

namespace backedpipe {

TunnelListener::TunnelListener(WorkerContext& worker, SessionTable& sessions, PathTo path_to)
    : worker_(worker), sessions_(sessions), path_to_(std::move(path_to)) {
  sessions_.on_ended([&shared = worker.shared()](SessionDriver&) { --shared.client_sessions; });
}

// --- settings

TunnelListener::Plan TunnelListener::plan(const Settings& settings,
                                          ListeningSockets& sockets) const {
  Plan plan;
  plan.max_sessions = settings.limits.max_sessions;
  plan.keepalive = settings.liveness.application_keepalive;
  for (const TunnelSettings& tunnel : settings.tunnels)
    plan.tunnels.push_back({tunnel, tunnel_for(tunnel, plan.keepalive, sockets)});
  return plan;
}

// A socket that was passed in, or whose port the system chose, belongs to the tunnel's name; any
// other socket belongs to its address.
std::shared_ptr<TunnelListener::Tunnel> TunnelListener::tunnel_for(
    const TunnelSettings& wanted, std::optional<Duration> keepalive,
    ListeningSockets& sockets) const {
  for (const auto& tunnel : tunnels_) {
    const bool same_name = tunnel->settings.name == wanted.name;
    const bool same_place = tunnel->settings.listen == wanted.listen;
    if (tunnel->passed ? same_name : same_place && (same_name || !wanted.listen.chosen_port())) {
      return tunnel;
    }
  }
  const ListeningSocket socket = sockets.open(
      wanted.listen, wanted.name, 0,
      [keepalive](int descriptor) { prepare_application_socket(descriptor, keepalive); });
  return std::make_shared<Tunnel>(Tunnel{
      wanted, std::make_shared<Listener>(worker_.io(), worker_.shared().accept_failures, socket),
      socket.passed, false});
}

void TunnelListener::use(Plan plan) {
  max_sessions_ = plan.max_sessions;
  keepalive_ = plan.keepalive;
  const auto before = std::exchange(tunnels_, {});
  for (Plan::PlannedTunnel& planned : plan.tunnels) {
    planned.tunnel->settings = std::move(planned.settings);
    prepare_application_socket(planned.tunnel->listener->descriptor(), keepalive_);
    tunnels_.push_back(std::move(planned.tunnel));
  }
  for (const auto& tunnel : before) {
    if (std::find(tunnels_.begin(), tunnels_.end(), tunnel) != tunnels_.end()) continue;
    tunnel->listener->stop();
    if (!worker_.is_first()) continue;
    spdlog::info("tunnel {}: not listening on {} any more", tunnel->settings.name,
                 to_string(tunnel->listener->address()));
  }
  if (listening_) start();
}

// --- applications

void TunnelListener::start() {
  listening_ = true;
  for (const auto& tunnel : tunnels_)
    listen(tunnel);
}

void TunnelListener::listen(const std::shared_ptr<Tunnel>& tunnel) {
  if (std::exchange(tunnel->started, true)) return;
  const auto accepted = [this, weak = std::weak_ptr(tunnel)](StreamSocket socket) {
    const auto self = weak.lock();
    if (!self) return;
    // The connections that made the service manager start this process came before its options.
    if (self->passed) prepare_application_socket(socket.native_handle(), keepalive_);
    open(self->settings, std::move(socket));
  };
  tunnel->listener->start(accepted, worker_.ledger());
  if (!worker_.is_first()) return;
  spdlog::info("tunnel {}: listening on {} for service {} of peer {}", tunnel->settings.name,
               to_string(tunnel->listener->address()), tunnel->settings.service,
               tunnel->settings.peer);
}

void TunnelListener::drain() {
  listening_ = false;
  for (const auto& tunnel : tunnels_)
    tunnel->listener->stop();
}

void TunnelListener::leave() {
  listening_ = false;
  for (const auto& tunnel : tunnels_)
    tunnel->listener->leave();
}

std::shared_ptr<SessionDriver> TunnelListener::open(const TunnelSettings& tunnel,
                                                    StreamSocket application) {
  std::atomic<std::size_t>& count = worker_.shared().client_sessions;
  if (const std::size_t before = count.fetch_add(1); before >= max_sessions_) {
    --count;
    spdlog::warn("tunnel {}: session_limit: {} sessions already; reset the connection from {}",
                 tunnel.name, before, remote_address(application));
    ApplicationSocket turned_away(std::move(application));
    if (worker_.ledger() != nullptr) turned_away.is_kept_by(*worker_.ledger());
    turned_away.reset();
    return nullptr;
  }
  auto path = path_to_(tunnel.peer);
  invariant(path.has_value());
  auto driver = sessions_.open(
      path->links, {.id = new_session_id(), .role = Role::client, .service = tunnel.service},
      {.service = tunnel.service,
       .tunnel = tunnel.name,
       .peer = tunnel.peer,
       .identity = std::move(path->identity),
       .listener = {}},
      remote_address(application));
  driver->connect_application(std::move(application), SessionDriver::FirstWord::expected);
  driver->start();
  return driver;
}

std::optional<std::string> TunnelListener::restore(Recovered recovered, SessionLabels labels,
                                                   std::optional<StreamSocket> application) {
  const auto path = path_to_(labels.peer);
  if (!path) {
    if (application) ApplicationSocket(std::move(*application)).reset();
    return "there is no peer \"" + labels.peer + "\" any more";
  }
  std::string why;
  auto driver = sessions_.restore(path->links, std::move(recovered), std::move(labels),
                                  std::move(application), why);
  if (!driver) return why;
  ++worker_.shared().client_sessions;
  restored_.push_back(std::move(driver));
  return std::nullopt;
}

bool TunnelListener::restore_accepted(int descriptor) {
  const auto tunnel =
      std::find_if(tunnels_.begin(), tunnels_.end(), [descriptor](const auto& each) {
        return is_accepted_from(each->listener->descriptor(), descriptor);
      });
  if (tunnel == tunnels_.end()) return false;
  auto application = adopt_stream(worker_.io(), descriptor);
  if (!application) return false;
  static_cast<void>(worker_.ledger()->vault().adopt(descriptor));
  restored_accepted_.emplace_back(*tunnel, std::move(*application));
  return true;
}

void TunnelListener::resume_restored(LedgerFile* turns) {
  for (const auto& driver : std::exchange(restored_, {})) {
    const LedgerFile::Turn turn(turns, driver->session().id());
    driver->resume();
  }
  for (auto& [tunnel, application] : std::exchange(restored_accepted_, {}))
    open(tunnel->settings, std::move(application));
}

SessionId TunnelListener::new_session_id() {
  SessionId id;
  std::byte bytes[sizeof id.bytes];
  wire::store(bytes, worker_.random());
  wire::store(bytes + 8, worker_.random());
  std::memcpy(id.bytes.data(), bytes, sizeof bytes);
  return id;
}

}  // namespace backedpipe
