#include "net/report/worker_snapshots.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "net/clock.hpp"

namespace backedpipe {
namespace {

SessionSnapshot snapshot_of(const Worker& worker, const SessionDriver& driver) {
  const Session& session = driver.session();
  const BackedPipe& pipe = session.pipe();
  const SessionLabels& labels = driver.labels();
  SessionSnapshot snapshot;
  snapshot.id = session.id();
  snapshot.role = session.role();
  snapshot.tunnel = labels.tunnel;
  snapshot.service = session.service();
  snapshot.link = driver.link_address();
  snapshot.peer = session.role() == Role::client ? labels.peer : driver.log().link_address();
  snapshot.identity = labels.identity;
  // For users, waiting for the next attempt and making one are the same state.
  snapshot.state = session.role() == Role::client && pipe.state() == PipeState::disconnected
                       ? PipeState::reconnecting
                       : pipe.state();
  snapshot.generation = pipe.generation();
  snapshot.reconnects = session.links() > 0 ? session.links() - 1 : 0;
  snapshot.restores = driver.log().restores();
  snapshot.created_at = driver.log().created_at();
  snapshot.state_since = driver.log().state_since();
  snapshot.application = driver.log().application();
  snapshot.bytes_in = driver.log().bytes_in();
  snapshot.bytes_out = driver.log().bytes_out();
  snapshot.unacked = pipe.writer().ring().size();
  snapshot.buffered = pipe.writer().ring().size() + pipe.reader().ring().size();
  snapshot.window = pipe.reader().window().size_bytes();
  snapshot.rtt = pipe.round_trip();
  snapshot.last_error = driver.log().last_error();
  snapshot.suspect = session.suspect();
  snapshot.kept = session.ledger().kept();
  if (snapshot.role == Role::client && snapshot.state != PipeState::connected) {
    // Only the peer's gate knows why the session has no link.
    SharedGate::View gate = worker.dialler.peer(labels.peer).gate->view();
    if (gate.state == PeerState::down) snapshot.last_error = std::move(gate.last_error);
  }
  return snapshot;
}

PeerSnapshot snapshot_of(const std::string& name, const Dialler::Peer& peer) {
  PeerSnapshot snapshot;
  snapshot.name = name;
  snapshot.security = std::string(to_string(peer.settings.security));
  for (const Endpoint& endpoint : peer.settings.endpoints)
    snapshot.endpoints.push_back(to_string(endpoint));
  SharedGate::View gate = peer.gate->view();
  snapshot.state = gate.state;
  snapshot.last_error =
      gate.rejection.empty() ? std::move(gate.last_error) : std::move(gate.rejection);
  if (gate.probing) {
    snapshot.next_attempt = std::chrono::system_clock::now();
  } else if (gate.next_probe) {
    snapshot.next_attempt =
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<WallTime::duration>(*gate.next_probe - steady_now());
  }
  snapshot.waiting = gate.waiting;
  snapshot.dialling = gate.dialling;
  snapshot.dials = peer.gate->cache()->dials();
  snapshot.spare_links = peer.gate->spares().size();
  snapshot.links_reused = peer.links_reused;
  return snapshot;
}

// Numbers of sessions by name. A name lives as long as its session, or as the snapshot.
using Tally = std::unordered_map<std::string_view, std::uint64_t>;

void count(StatusSnapshot& status, const SessionDriver& driver) {
  switch (driver.session().pipe().state()) {
    case PipeState::connected:
      ++status.connected;
      break;
    default:
      ++(driver.session().role() == Role::client ? status.reconnecting : status.disconnected);
      break;
  }
  if (!driver.session().ledger().kept()) ++status.continuity.not_kept;
  driver.log().add_to(status.totals.sessions);
}

}  // namespace

std::vector<SessionSnapshot> sessions_of(const Worker& worker) {
  std::vector<SessionSnapshot> snapshots;
  snapshots.reserve(worker.dialled.all().size() + worker.accepted.all().size());
  for (const auto* sessions : {&worker.dialled.all(), &worker.accepted.all()}) {
    for (const auto& [id, driver] : *sessions)
      snapshots.push_back(snapshot_of(worker, *driver));
  }
  return snapshots;
}

std::optional<SessionSnapshot> session_of(const Worker& worker, const SessionId& id) {
  auto driver = worker.dialled.find(id);
  if (!driver) driver = worker.accepted.find(id);
  if (!driver) return std::nullopt;
  SessionSnapshot snapshot = snapshot_of(worker, *driver);
  snapshot.history = driver->log().history().links();
  snapshot.restored_at = driver->log().restored_at();
  return snapshot;
}

StatusSnapshot status_of(const Worker& worker) {
  StatusSnapshot status;
  status.totals.sessions = worker.dialled.totals();
  status.totals.sessions += worker.accepted.totals();
  status.totals.handshakes_failed = worker.acceptor.refusals().total();
  status.totals.links_handed_over = worker.acceptor.links_handed_over();
  status.workers.push_back({worker.dialled.all().size() + worker.accepted.all().size()});

  for (const auto& tunnel : worker.tunnels.tunnels()) {
    status.tunnels.push_back({.name = tunnel->settings.name,
                              .listen = to_string(tunnel->listener->address()),
                              .peer = tunnel->settings.peer,
                              .service = tunnel->settings.service});
  }
  for (const auto& [name, peer] : worker.dialler.peers())
    status.peers.push_back(snapshot_of(name, peer));
  Tally by_tunnel;
  Tally by_peer;
  for (const auto& [id, driver] : worker.dialled.all()) {
    count(status, *driver);
    ++by_tunnel[driver->labels().tunnel];
    ++by_peer[driver->labels().peer];
  }
  for (TunnelSnapshot& tunnel : status.tunnels)
    tunnel.sessions = by_tunnel[tunnel.name];
  for (PeerSnapshot& peer : status.peers)
    peer.sessions = by_peer[peer.name];

  for (const auto& listener : worker.acceptor.listeners()) {
    status.listeners.push_back({.listen = to_string(listener->listener->address()),
                                .security = std::string(to_string(listener->settings.security)),
                                .handshakes = listener->handshake_count,
                                .spare_links = listener->spare_count});
  }
  Tally by_listener;
  for (const auto& [id, driver] : worker.accepted.all()) {
    count(status, *driver);
    ++by_listener[driver->labels().listener];
  }
  for (ListenerSnapshot& listener : status.listeners)
    listener.sessions = by_listener[listener.listen];
  return status;
}

// All workers have the same tunnels and listeners. A removed peer is listed until no worker has it
// any more.
void add(StatusSnapshot& sum, const StatusSnapshot& part) {
  sum.connected += part.connected;
  sum.disconnected += part.disconnected;
  sum.reconnecting += part.reconnecting;
  sum.continuity.not_kept += part.continuity.not_kept;
  sum.totals.sessions += part.totals.sessions;
  sum.totals.handshakes_failed += part.totals.handshakes_failed;
  sum.totals.links_handed_over += part.totals.links_handed_over;
  sum.workers.insert(sum.workers.end(), part.workers.begin(), part.workers.end());
  if (sum.tunnels.empty()) {
    sum.tunnels = part.tunnels;
  } else {
    for (std::size_t i = 0; i < part.tunnels.size(); ++i)
      sum.tunnels[i].sessions += part.tunnels[i].sessions;
  }
  if (sum.listeners.empty()) {
    sum.listeners = part.listeners;
  } else {
    for (std::size_t i = 0; i < part.listeners.size(); ++i) {
      sum.listeners[i].sessions += part.listeners[i].sessions;
      sum.listeners[i].handshakes += part.listeners[i].handshakes;
      sum.listeners[i].spare_links += part.listeners[i].spare_links;
    }
  }
  for (const PeerSnapshot& peer : part.peers) {
    const auto known =
        std::find_if(sum.peers.begin(), sum.peers.end(),
                     [&peer](const PeerSnapshot& other) { return other.name == peer.name; });
    if (known == sum.peers.end()) {
      sum.peers.push_back(peer);
    } else {
      known->sessions += peer.sessions;
      known->links_reused += peer.links_reused;
    }
  }
}

}  // namespace backedpipe
