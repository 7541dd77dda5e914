#include "net/dial/client.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

// A link that was there before has at least this long to answer a HELLO. It is one round trip, and
// giving up costs a new connection: no reason to wait as long as for others.
constexpr Duration kReusePatience = std::chrono::milliseconds(500);

}  // namespace

Client::~Client() {
  // Who could not tell its server in time.
  for (const auto& [id, driver] : sessions_)
    driver->abandon();
  close_spares();
}

// --- settings

Client::SecurityOfPeers Client::read_security(const Settings& settings) {
  SecurityOfPeers security;
  for (const PeerSettings& peer : settings.peers)
    security.emplace(peer.name, load_security(peer));
  return security;
}

Client::Plan Client::plan(const Settings& settings, const SecurityOfPeers& security,
                          ListeningSockets& sockets) const {
  Plan plan;
  plan.max_sessions = settings.limits.max_sessions;
  plan.spare_links = settings.limits.spare_links;
  for (const PeerSettings& peer : settings.peers)
    plan.peers.push_back({peer, security.at(peer.name)});
  for (const TunnelSettings& tunnel : settings.tunnels)
    plan.tunnels.push_back({tunnel, tunnel_for(tunnel, sockets)});
  return plan;
}

// A socket that was passed, or whose port the system has chosen, belongs to the tunnel of its name;
// any other to its address.
std::shared_ptr<Client::Tunnel> Client::tunnel_for(const TunnelSettings& wanted,
                                                   ListeningSockets& sockets) const {
  for (const auto& tunnel : tunnels_) {
    const bool same_name = tunnel->settings.name == wanted.name;
    const bool same_place = tunnel->settings.listen == wanted.listen;
    if (tunnel->passed ? same_name : same_place && (same_name || !wanted.listen.chosen_port())) {
      return tunnel;
    }
  }
  const ListeningSocket socket = sockets.open(wanted.listen, wanted.name);
  return std::make_shared<Tunnel>(Tunnel{
      wanted, std::make_shared<Listener>(worker_.io(), worker_.shared().accept_failures, socket),
      socket.passed, false});
}

void Client::use(Plan plan) {
  max_sessions_ = plan.max_sessions;
  spare_links_ = plan.spare_links;
  for (auto& [name, peer] : peers_)
    peer.retired = true;
  for (Plan::PlannedPeer& planned : plan.peers)
    use(std::move(planned));
  forget_retired();

  const auto before = std::exchange(tunnels_, {});
  for (Plan::PlannedTunnel& planned : plan.tunnels) {
    planned.tunnel->settings = std::move(planned.settings);
    tunnels_.push_back(std::move(planned.tunnel));
  }
  for (const auto& tunnel : before) {
    if (std::find(tunnels_.begin(), tunnels_.end(), tunnel) != tunnels_.end()) continue;
    tunnel->listener->stop();
    if (!worker_.is_first()) continue;
    spdlog::info("tunnel {}: not listening on {} any more", tunnel->settings.name,
                 to_string(tunnel->listener->address()));
  }
  if (!listening_) return;
  for (const auto& tunnel : tunnels_)
    listen(tunnel);
  // Who could not be reached may be where the settings now say.
  network_changed();
}

void Client::use(Plan::PlannedPeer planned) {
  const auto [at, is_new] = peers_.try_emplace(planned.settings.name);
  const std::string& name = at->first;
  Peer& peer = at->second;
  if (is_new) {
    peer.gate =
        worker_.shared().gates.of(name, worker_.session_options().backoff, worker_.random());
  }
  if (worker_.is_first() && planned.settings.security == Security::none &&
      (is_new || peer.settings.security != Security::none)) {
    spdlog::warn("peer {}: security is \"none\": links are neither encrypted nor authenticated",
                 name);
  }
  if (!is_new && planned.security.identity != peer.identity && has_sessions(name)) {
    spdlog::warn(
        "peer {}: our identity there was \"{}\" and is now \"{}\": the server will refuse to "
        "resume the sessions opened before",
        name, peer.identity, planned.security.identity);
  }
  if (!is_new && planned.settings.endpoints != peer.settings.endpoints) {
    peer.gate->cache()->forget();
  }
  peer.gate->spares().clear();
  peer.settings = std::move(planned.settings);
  peer.factory = std::move(planned.security.factory);
  peer.identity = std::move(planned.security.identity);
  peer.retired = false;
}

bool Client::has_sessions(const std::string& peer) const {
  return std::any_of(sessions_.begin(), sessions_.end(), [&peer](const auto& session) {
    return session.second->labels().peer == peer;
  });
}

void Client::forget_retired() {
  std::erase_if(peers_, [this](const auto& entry) {
    return entry.second.retired && !has_sessions(entry.first);
  });
}

// --- applications

void Client::start() {
  listening_ = true;
  for (const auto& tunnel : tunnels_)
    listen(tunnel);
}

void Client::listen(const std::shared_ptr<Tunnel>& tunnel) {
  if (std::exchange(tunnel->started, true)) return;
  tunnel->listener->start([this, weak = std::weak_ptr(tunnel)](StreamSocket socket) {
    if (const auto self = weak.lock()) open(self->settings, std::move(socket));
  });
  if (!worker_.is_first()) return;
  spdlog::info("tunnel {}: listening on {} for service {} of peer {}", tunnel->settings.name,
               to_string(tunnel->listener->address()), tunnel->settings.service,
               tunnel->settings.peer);
}

void Client::drain() {
  listening_ = false;
  for (const auto& tunnel : tunnels_)
    tunnel->listener->stop();
  close_spares();
}

void Client::stop() {
  drain();
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions)
    driver->reset(Reason::closed_by_operator);
}

std::shared_ptr<SessionDriver> Client::open(const TunnelSettings& tunnel,
                                            StreamSocket application) {
  std::atomic<std::size_t>& count = worker_.shared().client_sessions;
  if (const std::size_t before = count.fetch_add(1); before >= max_sessions_) {
    --count;
    spdlog::warn("tunnel {}: session_limit: {} sessions already; reset the connection from {}",
                 tunnel.name, before, remote_address(application));
    ApplicationSocket(std::move(application)).reset();
    return nullptr;
  }
  const Session::Identity identity{
      .id = new_session_id(), .role = Role::client, .service = tunnel.service};
  auto driver =
      std::make_shared<SessionDriver>(worker_, SessionDriver::Links{this, *this}, *this, identity,
                                      labels_.of({.tunnel = tunnel.name,
                                                  .peer = tunnel.peer,
                                                  .identity = peers_.at(tunnel.peer).identity,
                                                  .listener = {}}),
                                      remote_address(application));
  sessions_.emplace(identity.id, driver);
  ++totals_.opened;
  driver->announce();
  driver->connect_application(std::move(application), SessionDriver::FirstWord::expected);
  driver->start();
  return driver;
}

SessionId Client::new_session_id() {
  SessionId id;
  std::byte bytes[sizeof id.bytes];
  wire::store(bytes, worker_.random());
  wire::store(bytes + 8, worker_.random());
  std::memcpy(id.bytes.data(), bytes, sizeof bytes);
  return id;
}

// --- links

void Client::connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) {
  Peer& peer = peers_.at(driver->labels().peer);
  const SessionId session = driver->session().id();
  if (const auto older = attempts_.find(session); older != attempts_.end()) {
    withdraw(peer, session, older->second.generation);
  }
  attempts_[session] = {generation, nullptr, 0};
  if (generation == 1) {
    if (auto link = peer.gate->spares().take(peer.factory, worker_.io())) {
      boost::asio::post(worker_.io(),
                        [this, session, generation, link = std::move(link)]() mutable {
                          reuse(std::move(link), session, generation);
                        });
      return;
    }
  } else {
    // A link is lost or suspect: so may be the others that go the same way.
    peer.gate->spares().clear();
  }
  peer.gate->request(session, worker_.io(), [this, session, generation](SharedGate::Dial dial) {
    told(session, generation, dial);
  });
}

void Client::give_up(SessionDriver& driver, std::uint64_t generation) {
  // Not wanted any more because its link has answered after all: good news for the others.
  withdraw(peers_.at(driver.labels().peer), driver.session().id(), generation,
           driver.session().link_healthy());
}

// By the gate; perhaps about an attempt that was given up meanwhile.
void Client::told(const SessionId& session, std::uint64_t generation, SharedGate::Dial dial) {
  const auto found = attempts_.find(session);
  if (found == attempts_.end() || found->second.generation != generation) return;
  Attempt& attempt = found->second;
  attempt.dial = dial;
  if (attempt.dialer) std::exchange(attempt.dialer, nullptr)->cancel();
  if (dial != 0) this->dial(peers_.at(sessions_.at(session)->labels().peer), session);
}

void Client::dial(Peer& peer, const SessionId& session) {
  Attempt& attempt = attempts_.at(session);
  const std::shared_ptr<SessionDriver> driver = sessions_.at(session);
  const std::uint64_t generation = attempt.generation;
  const SharedGate::Dial dial = attempt.dial;
  LinkDialer::Handlers handlers = handlers_for(peer, driver, generation);
  handlers.hello = [&peer, session, dial, say = std::move(handlers.hello)]() {
    return peer.gate->answered(session, dial) ? say() : std::nullopt;
  };
  handlers.failed = [this, &peer, driver, session, generation, dial](bool rejected,
                                                                     const std::string& why) {
    // Who rejects us is there.
    if (rejected && peer.gate->answered(session, dial)) peer.gate->rejected(why);
    if (peer.gate->failed(session, dial, why)) {
      // The session need not know: it is dialled for again when its turn comes.
      attempts_.at(session).dialer.reset();
      return;
    }
    withdraw(peer, session, generation);
    driver->attempt_failed(generation, rejected, why);
  };
  handlers.struggling = [&peer, session, dial](const std::string& why) {
    peer.gate->struggling(session, dial, why);
  };
  dialer_for(peer, attempt, std::move(handlers))->start();
}

// The session's HELLO goes over a link that there is. It may be dead without anybody knowing; then
// the session's next attempt is dialled as usual.
void Client::reuse(std::unique_ptr<Transport> link, const SessionId& session,
                   std::uint64_t generation) {
  const auto found = attempts_.find(session);
  if (found == attempts_.end() || found->second.generation != generation) return;
  const std::shared_ptr<SessionDriver> driver = sessions_.at(session);
  Peer& peer = peers_.at(driver->labels().peer);
  LinkDialer::Handlers handlers = handlers_for(peer, driver, generation);
  handlers.failed = [this, &peer, driver, session, generation](bool, const std::string& why) {
    peer.gate->spares().clear();
    withdraw(peer, session, generation);
    driver->attempt_void(generation, why);
  };
  handlers.welcomed = [&peer, go_on = std::move(handlers.welcomed)](
                          std::unique_ptr<Transport> transport, const Welcome& welcome,
                          ConstBytes early) {
    ++peer.links_reused;
    peer.gate->alive();
    go_on(std::move(transport), welcome, early);
  };
  const auto took = peer.gate->cache()->learned().took;
  dialer_for(peer, found->second, std::move(handlers))
      ->start_on(std::move(link), std::max(kReusePatience, 2 * took.value_or(Duration{})));
}

std::shared_ptr<LinkDialer> Client::dialer_for(const Peer& peer, Attempt& attempt,
                                               LinkDialer::Handlers handlers) {
  attempt.dialer = std::make_shared<LinkDialer>(worker_.io(), peer.settings.endpoints, peer.factory,
                                                worker_.session_options().liveness.dead,
                                                std::move(handlers), peer.gate->cache());
  // It may be over, and gone from there, before its start has returned.
  return attempt.dialer;
}

// What is said to the server and what follows from its answer, however the link came about.
LinkDialer::Handlers Client::handlers_for(Peer& peer, const std::shared_ptr<SessionDriver>& driver,
                                          std::uint64_t generation) {
  const SessionId session = driver->session().id();
  LinkDialer::Handlers handlers;
  handlers.hello = [this, &peer, driver, session, generation] {
    auto hello = driver->begin_handshake(generation);
    if (!hello) withdraw(peer, session, generation);
    return hello;
  };
  handlers.welcomed = [this, &peer, driver, session, generation](std::unique_ptr<Transport> link,
                                                                 const Welcome& welcome,
                                                                 ConstBytes early) {
    peer.gate->accepted();
    withdraw(peer, session, generation);
    driver->welcomed(std::move(link), welcome, early);
  };
  handlers.refused = [this, &peer, driver, session, generation](const Refused& refused) {
    withdraw(peer, session, generation);
    driver->refused(generation, refused);
  };
  return handlers;
}

// Does nothing about an attempt of another generation.
void Client::withdraw(Peer& peer, const SessionId& session, std::uint64_t generation, bool alive) {
  const auto found = attempts_.find(session);
  if (found == attempts_.end() || found->second.generation != generation) return;
  if (const auto dialer = std::move(found->second.dialer)) dialer->cancel();
  attempts_.erase(found);
  peer.gate->withdraw(session, alive);
}

bool Client::reconnect(const std::shared_ptr<SessionDriver>& driver) {
  // First, or the dial that the session begins now would be begun anew.
  peers_.at(driver->labels().peer).gate->kick();
  return driver->reconnect();
}

void Client::network_changed() {
  close_spares();
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions) {
    if (driver->session().next_attempt()) driver->try_now();
  }
}

void Client::close_spares() {
  for (const auto& [name, peer] : peers_)
    peer.gate->spares().clear();
}

void Client::attached(SessionDriver&) {
  ++totals_.attaches;
}

void Client::detached(SessionDriver&) {}

void Client::released(std::unique_ptr<Transport> link, SessionDriver& driver) {
  const Peer& peer = peers_.at(driver.labels().peer);
  if (!listening_ || peer.retired || !link->made_by(peer.factory)) return;
  peer.gate->spares().put(std::move(link), spare_links_);
}

void Client::ended(SessionDriver& driver, Reason) {
  ++totals_.ended;
  driver.log().add_to(totals_);
  if (const auto attempt = attempts_.find(driver.session().id()); attempt != attempts_.end()) {
    give_up(driver, attempt->second.generation);
  }
  sessions_.erase(driver.session().id());
  --worker_.shared().client_sessions;
  const auto peer = peers_.find(driver.labels().peer);
  if (peer == peers_.end() || !peer->second.retired) return;
  // Later: who ends the session may be in the middle of using its peer.
  boost::asio::post(worker_.io(), [this] { forget_retired(); });
}

}  // namespace backedpipe
