#include "net/client.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/link_dialer.hpp"
#include "proto/wire.hpp"

namespace backedpipe {

Client::Peer::Peer(Worker& worker)
    : gate(worker.session_options().backoff, worker.random()), timer(worker.io()) {}

Client::Client(Worker& worker, const Settings& settings, PassedSockets& passed)
    : worker_(worker), settings_(settings) {
  for (const PeerSettings& settings_of : settings.peers) {
    Peer& peer = peers_.try_emplace(settings_of.name, worker).first->second;
    peer.settings = &settings_of;
    if (settings_of.security == Security::none) {
      spdlog::warn("peer {}: security is \"none\": links are neither encrypted nor authenticated",
                   settings_of.name);
    }
  }
  use(read_security());
  for (const TunnelSettings& tunnel : settings.tunnels) {
    tunnels_.push_back(
        {&tunnel, std::make_shared<Listener>(worker, tunnel.listen, passed.take(tunnel.name))});
  }
}

Client::~Client() {
  // Who could not tell its server in time.
  for (const auto& [id, driver] : sessions_)
    driver->abandon();
}

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
  driver->announce();
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

// --- links

void Client::connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) {
  Peer& peer = peers_.at(driver->labels().peer);
  const SessionId session = driver->session().id();
  if (const auto older = attempts_.find(session); older != attempts_.end()) {
    withdraw(peer, session, older->second.generation);
  }
  attempts_[session] = {generation, nullptr};
  peer.gate.request(session);
  run(peer);
}

void Client::give_up(SessionDriver& driver, std::uint64_t generation) {
  Peer& peer = peers_.at(driver.labels().peer);
  withdraw(peer, driver.session().id(), generation);
  run(peer);
}

// Does what the gate says, and what follows from it.
void Client::run(Peer& peer) {
  while (const auto action = peer.gate.next_action(Worker::now())) {
    if (action->kind == PeerGate::Action::Kind::dial) {
      dial(peer, action->session);
    } else if (const auto found = attempts_.find(action->session); found != attempts_.end()) {
      if (found->second.dialer) std::exchange(found->second.dialer, nullptr)->cancel();
    }
  }
  tell(peer);
  arm(peer);
}

void Client::dial(Peer& peer, const SessionId& session) {
  Attempt& attempt = attempts_.at(session);
  const std::shared_ptr<SessionDriver> driver = sessions_.at(session);
  const std::uint64_t generation = attempt.generation;
  LinkDialer::Handlers handlers;
  handlers.hello = [this, &peer, driver, session, generation] {
    peer.gate.answered(session, Worker::now());
    run(peer);
    auto hello = driver->hello(generation);
    if (!hello) {
      withdraw(peer, session, generation);
      run(peer);
    }
    return hello;
  };
  handlers.welcomed = [this, &peer, driver, session, generation](std::unique_ptr<Transport> link,
                                                                 const Welcome& welcome,
                                                                 ConstBytes early) {
    peer.rejection.clear();
    withdraw(peer, session, generation);
    run(peer);
    driver->welcomed(std::move(link), welcome, early);
  };
  handlers.refused = [this, &peer, driver, session, generation](const Refused& refused) {
    withdraw(peer, session, generation);
    run(peer);
    driver->refused(generation, refused);
  };
  handlers.failed = [this, &peer, driver, session, generation](bool rejected,
                                                               const std::string& why) {
    const TimePoint now = Worker::now();
    // Who rejects us is there.
    if (rejected) {
      peer.gate.answered(session, now);
      peer.rejection = why;
    }
    if (peer.gate.failed(session, why, now)) {
      // The session need not know: it is dialled for again when its turn comes.
      attempts_.at(session).dialer.reset();
      return run(peer);
    }
    withdraw(peer, session, generation);
    run(peer);
    driver->attempt_failed(generation, rejected, why);
  };
  handlers.struggling = [this, &peer, session](const std::string& why) {
    peer.gate.struggling(session, why, Worker::now());
    run(peer);
  };
  const auto dialer = std::make_shared<LinkDialer>(
      worker_.io(), peer.settings->endpoints, peer.factory, worker_.session_options().liveness.dead,
      std::move(handlers), peer.cache);
  attempt.dialer = dialer;
  dialer->start();
}

// Does nothing about an attempt of another generation.
void Client::withdraw(Peer& peer, const SessionId& session, std::uint64_t generation) {
  const auto found = attempts_.find(session);
  if (found == attempts_.end() || found->second.generation != generation) return;
  if (const auto dialer = std::move(found->second.dialer)) dialer->cancel();
  attempts_.erase(found);
  peer.gate.withdraw(session);
}

// One line when a peer goes away and one when it is back, whatever number of sessions it has.
void Client::tell(Peer& peer) {
  const PeerGate::State before = std::exchange(peer.told, peer.gate.state());
  if (peer.told == before) return;
  Event event;
  event.time = std::chrono::system_clock::now();
  event.peer = peer.settings->name;
  if (peer.told == PeerGate::State::down) {
    event.kind = Event::Kind::peer_down;
    event.reason = "unreachable";
    event.detail = peer.gate.last_error();
  } else if (before == PeerGate::State::down) {
    event.kind = Event::Kind::peer_up;
    event.duration = Worker::now() - peer.gate.down_since();
  } else {
    return;
  }
  worker_.events().publish(event);
}

void Client::arm(Peer& peer) {
  const auto due = peer.gate.deadline();
  if (due == peer.timer_at) return;
  peer.timer_at = due;
  peer.timer.cancel();
  if (!due) return;
  peer.timer.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(*due));
  peer.timer.async_wait([this, &peer](const boost::system::error_code& error) {
    if (error) return;
    peer.timer_at.reset();
    run(peer);
  });
}

bool Client::reconnect(const std::shared_ptr<SessionDriver>& driver) {
  Peer& peer = peers_.at(driver->labels().peer);
  // First, or the dial that the session begins now would be begun anew.
  peer.gate.kick(Worker::now());
  run(peer);
  return driver->reconnect();
}

void Client::network_changed() {
  for (auto& [name, peer] : peers_) {
    peer.gate.kick(Worker::now());
    run(peer);
  }
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions) {
    if (driver->session().next_attempt()) driver->try_now();
  }
}

void Client::attached(SessionDriver&) {
  ++totals_.attaches;
}

void Client::detached(SessionDriver&) {}

void Client::ended(SessionDriver& driver, Reason) {
  totals_.retire(driver);
  if (const auto attempt = attempts_.find(driver.session().id()); attempt != attempts_.end()) {
    give_up(driver, attempt->second.generation);
  }
  sessions_.erase(driver.session().id());
}

}  // namespace backedpipe
