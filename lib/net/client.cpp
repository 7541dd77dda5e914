#include "net/client.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/link_dialer.hpp"
#include "proto/wire.hpp"

namespace backedpipe {

Client::Client(Worker& worker, const Settings& settings, PassedSockets& passed)
    : worker_(worker), settings_(settings) {
  for (const PeerSettings& settings_of : settings.peers) {
    Peer& peer = peers_[settings_of.name];
    peer.settings = &settings_of;
    if (settings_of.security == Security::none) {
      spdlog::warn("peer {}: security is \"none\": links are neither encrypted nor authenticated",
                   settings_of.name);
    }
  }
  use(read_security());
  for (const TunnelSettings& tunnel : settings.tunnels) {
    tunnels_.push_back({&tunnel, std::make_shared<Listener>(worker.io(), tunnel.listen,
                                                            passed.take(tunnel.name))});
  }
}

Client::~Client() = default;

Client::PeerSecurity Client::read_security() const {
  PeerSecurity security;
  for (const auto& [name, peer] : peers_)
    security.emplace(name, load_security(*peer.settings));
  return security;
}

void Client::use(PeerSecurity security) {
  for (auto& [name, peer] : peers_) {
    LinkSecurity& now = security.at(name);
    const auto is_of_peer = [&name = name](const auto& session) {
      return session.second->labels().peer == name;
    };
    if (now.identity != peer.identity &&
        std::any_of(sessions_.begin(), sessions_.end(), is_of_peer)) {
      spdlog::warn(
          "peer {}: our identity there was \"{}\" and is now \"{}\": the server will refuse to "
          "resume the sessions opened before",
          name, peer.identity, now.identity);
    }
    peer.factory = std::move(now.factory);
    peer.identity = std::move(now.identity);
  }
}

void Client::start() {
  for (const Tunnel& tunnel : tunnels_) {
    tunnel.listener->start([this, settings = tunnel.settings](StreamSocket socket) {
      accepted(*settings, std::move(socket));
    });
    spdlog::info("tunnel {}: listening on {} for service {} of peer {}", tunnel.settings->name,
                 to_string(tunnel.listener->address()), tunnel.settings->service,
                 tunnel.settings->peer);
  }
}

void Client::stop() {
  for (const Tunnel& tunnel : tunnels_)
    tunnel.listener->stop();
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions)
    driver->reset(Reason::closed_by_operator);
}

void Client::accepted(const TunnelSettings& tunnel, StreamSocket socket) {
  if (sessions_.size() >= settings_.limits.max_sessions) {
    spdlog::warn("tunnel {}: session_limit: {} sessions already; reset the connection from {}",
                 tunnel.name, sessions_.size(), remote_address(socket));
    reset_and_close(socket);
    return;
  }
  const Session::Identity identity{
      .id = new_session_id(), .role = Role::client, .service = tunnel.service};
  auto driver = std::make_shared<SessionDriver>(
      worker_, *this, identity,
      SessionDriver::Labels{.tunnel = tunnel.name,
                            .peer = tunnel.peer,
                            .identity = peers_.at(tunnel.peer).identity,
                            .application = remote_address(socket),
                            .listener = {}});
  sessions_.emplace(identity.id, driver);
  ++totals_.opened;
  spdlog::info("session {}: opened from {}: tunnel {}, peer {}, service {}", to_string(identity.id),
               driver->labels().application, tunnel.name, tunnel.peer, tunnel.service);
  driver->connect_application(std::move(socket));
  driver->start();
}

SessionId Client::new_session_id() {
  SessionId id;
  std::byte bytes[sizeof id.bytes];
  wire::store(bytes, worker_.random());
  wire::store(bytes + 8, worker_.random());
  std::memcpy(id.bytes.data(), bytes, sizeof bytes);
  return id;
}

void Client::connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) {
  Peer& peer = peers_.at(driver->labels().peer);
  std::vector<Address> endpoints;
  for (const Endpoint& endpoint : peer.settings->endpoints) {
    endpoints.push_back({.host = endpoint.host, .port = endpoint.port, .unix_path = {}});
  }
  LinkDialer::Handlers handlers;
  handlers.hello = [driver, generation] { return driver->hello(generation); };
  handlers.welcomed = [this, &peer, driver](std::unique_ptr<Transport> link, const Welcome& welcome,
                                            ConstBytes early) {
    attempts_.erase(driver->session().id());
    mark(peer, Peer::State::up, {});
    driver->welcomed(std::move(link), welcome, early);
  };
  handlers.refused = [this, &peer, driver, generation](const Refused& refused) {
    attempts_.erase(driver->session().id());
    mark(peer, Peer::State::up, {});
    driver->refused(generation, refused);
  };
  handlers.failed = [this, &peer, driver, generation](bool rejected, const std::string& why) {
    attempts_.erase(driver->session().id());
    mark(peer, Peer::State::down, why);
    driver->attempt_failed(generation, rejected, why);
  };
  auto dialer =
      std::make_shared<LinkDialer>(worker_.io(), std::move(endpoints), peer.factory,
                                   worker_.session_options().liveness.dead, std::move(handlers));
  attempts_[driver->session().id()] = {generation, dialer};
  dialer->start();
}

void Client::give_up(SessionDriver& driver, std::uint64_t generation) {
  const auto found = attempts_.find(driver.session().id());
  if (found == attempts_.end() || found->second.generation != generation) return;
  found->second.dialer->cancel();
  attempts_.erase(found);
}

void Client::mark(Peer& peer, Peer::State state, const std::string& error) {
  if (state == peer.state) return;
  if (state == Peer::State::down) {
    spdlog::warn("peer {}: down: {}", peer.settings->name, error);
    peer.last_error = error;
  } else if (peer.state == Peer::State::down) {
    spdlog::info("peer {}: up again", peer.settings->name);
  }
  peer.state = state;
}

void Client::attached(SessionDriver&) {
  ++totals_.attaches;
}

void Client::detached(SessionDriver&) {}

void Client::ended(SessionDriver& driver, Reason) {
  totals_.retire(driver);
  const auto attempt = attempts_.find(driver.session().id());
  if (attempt != attempts_.end()) {
    attempt->second.dialer->cancel();
    attempts_.erase(attempt);
  }
  sessions_.erase(driver.session().id());
}

}  // namespace backedpipe
