#include "net/dial/dialler.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

// A spare link has at least this long to answer a HELLO; less than other links, because the answer
// takes one round trip and giving up costs only a new connection.
constexpr Duration kReusePatience = std::chrono::milliseconds(500);

// The session has had no link yet, so that there is no reason to doubt the spare links.
bool is_first_link(std::uint64_t generation) {
  return generation == 1;
}

}  // namespace

Dialler::Dialler(WorkerContext& worker, SessionTable& sessions)
    : worker_(worker), sessions_(sessions) {
  sessions_.on_ended([this](SessionDriver& driver) { session_ended(driver); });
}

Dialler::~Dialler() {
  // The sessions that could not tell their server in time.
  sessions_.abandon_all();
  close_spares();
}

// --- settings

Dialler::SecurityOfPeers Dialler::read_security(const Settings& settings) {
  SecurityOfPeers security;
  for (const PeerSettings& peer : settings.peers)
    security.emplace(peer.name, load_security(peer));
  return security;
}

Dialler::Plan Dialler::plan(const Settings& settings, const SecurityOfPeers& security) const {
  Plan plan;
  plan.spare_links = settings.limits.spare_links;
  for (const PeerSettings& peer : settings.peers) {
    const auto found = security.find(peer.name);
    invariant(found != security.end());
    plan.peers.push_back({peer, found->second});
  }
  return plan;
}

void Dialler::use(Plan plan) {
  spare_links_ = plan.spare_links;
  for (auto& [name, peer] : peers_)
    peer.retired = true;
  for (Plan::PlannedPeer& planned : plan.peers)
    use(std::move(planned));
  forget_retired();
  // Peers that were unreachable may be reachable at their new addresses.
  if (started_) try_waiting();
}

void Dialler::use(Plan::PlannedPeer planned) {
  const auto [at, is_new] = peers_.try_emplace(planned.settings.name);
  const std::string& name = at->first;
  Peer& peer = at->second;
  if (is_new) {
    peer.gate = worker_.shared().gates.of(name, worker_.random());
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

bool Dialler::has_sessions(const std::string& peer) const {
  return std::any_of(sessions_.all().begin(), sessions_.all().end(), [&peer](const auto& session) {
    return session.second->labels().peer == peer;
  });
}

void Dialler::forget_retired() {
  std::erase_if(peers_, [this](const auto& entry) {
    return entry.second.retired && !has_sessions(entry.first);
  });
}

void Dialler::start() {
  started_ = true;
}

void Dialler::drain() {
  started_ = false;
  close_spares();
}

// --- look-ups

const Dialler::Peer& Dialler::peer(const std::string& name) const {
  const Peer* const found = find_peer(name);
  invariant(found != nullptr);
  return *found;
}

const Dialler::Peer* Dialler::find_peer(const std::string& name) const {
  const auto found = peers_.find(name);
  return found == peers_.end() ? nullptr : &found->second;
}

// The peer exists as long as it has a session.
Dialler::Peer& Dialler::peer_of(const SessionDriver& driver) {
  const auto found = peers_.find(driver.labels().peer);
  invariant(found != peers_.end());
  return found->second;
}

Dialler::Attempt* Dialler::find_attempt(const SessionId& session, std::uint64_t generation) {
  const auto found = attempts_.find(session);
  if (found == attempts_.end() || found->second.generation != generation) return nullptr;
  return &found->second;
}

// Precondition: the attempt exists, and therefore its session: an attempt ends with its session.
Dialler::Request Dialler::request_of(const SessionId& session, std::uint64_t generation) {
  auto driver = sessions_.find(session);
  invariant(driver != nullptr);
  Peer& peer = peer_of(*driver);
  return {peer, std::move(driver), generation};
}

// --- attempts

void Dialler::connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) {
  Peer& peer = peer_of(*driver);
  const SessionId session = driver->session().id();
  if (const auto older = attempts_.find(session); older != attempts_.end()) {
    withdraw(peer, session, older->second.generation, SharedGate::Withdrawal::served);
  }
  attempts_[session] = {generation, nullptr, std::nullopt};
  if (is_first_link(generation)) {
    if (auto link = peer.gate->spares().take(peer.factory, worker_.io())) {
      boost::asio::post(worker_.io(),
                        [this, session, generation, link = std::move(link)]() mutable {
                          reuse(std::move(link), session, generation);
                        });
      return;
    }
  } else {
    // A link was lost or is suspect: the spare links on the same path may be dead too.
    peer.gate->spares().clear();
  }
  peer.gate->request(session, worker_.io(),
                     [this, session, generation](std::optional<SharedGate::Dial> dial) {
                       told(session, generation, dial);
                     });
}

void Dialler::give_up(SessionDriver& driver, std::uint64_t generation) {
  // If the session's own link answered after all, the peer can be reached: the gate learns that.
  withdraw(peer_of(driver), driver.session().id(), generation,
           driver.session().link_healthy() ? SharedGate::Withdrawal::link_answers
                                           : SharedGate::Withdrawal::served);
}

// Called by the gate, possibly for an attempt that was given up meanwhile.
void Dialler::told(const SessionId& session, std::uint64_t generation,
                   std::optional<SharedGate::Dial> dial) {
  Attempt* const attempt = find_attempt(session, generation);
  if (attempt == nullptr) return;
  attempt->dial = dial;
  if (attempt->dialer) std::exchange(attempt->dialer, nullptr)->cancel();
  if (dial) this->dial(request_of(session, generation), *attempt, *dial);
}

void Dialler::dial(const Request& request, Attempt& attempt, SharedGate::Dial dial) {
  const SessionId session = request.driver->session().id();
  LinkDialer::Handlers handlers;
  handlers.hello = [this, request, session, dial]() -> std::optional<Hello> {
    if (!request.peer.gate->answered(session, dial)) return std::nullopt;
    return hello(request);
  };
  handlers.struggling = [&peer = request.peer, session, dial](const std::string& why) {
    peer.gate->struggling(session, dial, why);
  };
  handlers.done = [this, request, dial](LinkDialer::Outcome outcome) {
    if (auto* link = std::get_if<LinkDialer::Welcomed>(&outcome)) {
      welcomed(request, std::move(*link));
    } else if (const auto* refusal = std::get_if<Refused>(&outcome)) {
      refused(request, *refusal);
    } else {
      dial_failed(request, dial, std::get<LinkDialer::Failed>(outcome));
    }
  };
  dialer_for(request.peer, attempt, std::move(handlers))->start(segment_limit(request));
}

std::optional<std::uint16_t> Dialler::segment_limit(const Request& request) {
  const std::uint32_t fruitless = request.driver->session().fruitless_links();
  const auto choice = request.peer.gate->cache()->segment_limit(fruitless, steady_now());
  if (choice.is_new) {
    spdlog::warn(
        "peer {}: {} links in a row fell silent before they had carried a full packet: the path "
        "may "
        "swallow large packets; dialling with TCP segments of at most {} bytes",
        request.peer.settings.name, fruitless, *choice.bytes);
  }
  return choice.bytes;
}

void Dialler::dial_failed(const Request& request, SharedGate::Dial dial,
                          const LinkDialer::Failed& failed) {
  const SessionId session = request.driver->session().id();
  SharedGate& gate = *request.peer.gate;
  // A peer that rejects us can be reached.
  if (failed.rejected && gate.answered(session, dial)) gate.rejected(failed.why);
  if (gate.failed(session, dial, failed.why)) {
    // The session need not know: the gate dials for it again at its turn.
    Attempt* const attempt = find_attempt(session, request.generation);
    invariant(attempt != nullptr);
    attempt->dialer.reset();
    return;
  }
  withdraw(request);
  request.driver->attempt_failed(request.generation, failed.rejected, failed.why);
}

// Sends the session's HELLO over a spare link. That link may be dead without either side knowing;
// the session's next attempt is then dialled as usual.
void Dialler::reuse(std::unique_ptr<Transport> link, const SessionId& session,
                    std::uint64_t generation) {
  Attempt* const attempt = find_attempt(session, generation);
  if (attempt == nullptr) return;
  const Request request = request_of(session, generation);
  LinkDialer::Handlers handlers;
  handlers.hello = [this, request] { return hello(request); };
  handlers.done = [this, request](LinkDialer::Outcome outcome) {
    if (auto* answered = std::get_if<LinkDialer::Welcomed>(&outcome)) {
      ++request.peer.links_reused;
      request.peer.gate->alive();
      welcomed(request, std::move(*answered));
    } else if (const auto* refusal = std::get_if<Refused>(&outcome)) {
      refused(request, *refusal);
    } else {
      reuse_failed(request, std::get<LinkDialer::Failed>(outcome).why);
    }
  };
  const EndpointCache& cache = *request.peer.gate->cache();
  const Duration connection = 2 * cache.learned().took.value_or(Duration{});
  dialer_for(request.peer, *attempt, std::move(handlers))
      ->start_on(std::move(link), std::clamp(std::max(connection, cache.answer_patience_learned()),
                                             kReusePatience, AnswerPatience::kMost));
}

void Dialler::reuse_failed(const Request& request, const std::string& why) {
  request.peer.gate->spares().clear();
  withdraw(request);
  request.driver->attempt_void(request.generation, why);
}

std::shared_ptr<LinkDialer> Dialler::dialer_for(const Peer& peer, Attempt& attempt,
                                                LinkDialer::Handlers handlers) {
  attempt.dialer = std::make_shared<LinkDialer>(worker_.io(), peer.settings.endpoints, peer.factory,
                                                worker_.session_options().liveness.dead,
                                                std::move(handlers), peer.gate->cache());
  // A reference, because the dialer may end, and leave the attempt, before its start returns.
  return attempt.dialer;
}

// --- HELLO and its answer, for dialled and for spare links

std::optional<Hello> Dialler::hello(const Request& request) {
  auto hello = request.driver->begin_handshake(request.generation);
  if (!hello) withdraw(request);
  return hello;
}

void Dialler::welcomed(const Request& request, LinkDialer::Welcomed welcomed) {
  request.peer.gate->accepted();
  withdraw(request);
  request.driver->welcomed(std::move(welcomed.link), welcomed.welcome, welcomed.early);
}

void Dialler::refused(const Request& request, const Refused& refused) {
  withdraw(request);
  request.driver->refused(request.generation, refused);
}

void Dialler::withdraw(const Request& request) {
  withdraw(request.peer, request.driver->session().id(), request.generation,
           SharedGate::Withdrawal::served);
}

// Ignores an attempt of another generation.
void Dialler::withdraw(Peer& peer, const SessionId& session, std::uint64_t generation,
                       SharedGate::Withdrawal why) {
  Attempt* const attempt = find_attempt(session, generation);
  if (attempt == nullptr) return;
  if (const auto dialer = std::move(attempt->dialer)) dialer->cancel();
  attempts_.erase(session);
  peer.gate->withdraw(session, why);
}

// --- existing sessions and links

bool Dialler::reconnect(const std::shared_ptr<SessionDriver>& driver) {
  // First the gate: otherwise it would break off and repeat the dial that the session begins now.
  peer_of(*driver).gate->kick();
  return driver->reconnect();
}

Doubted Dialler::network_changed(const NetworkChange& change,
                                 const std::optional<LocalAddresses>& addresses) {
  for (const auto& [name, peer] : peers_)
    peer.gate->cache()->forget_segment_limit();
  try_waiting();
  return addresses ? doubt_links(change, *addresses, sessions_) : Doubted();
}

void Dialler::try_waiting() {
  close_spares();
  const SessionTable::Sessions sessions = sessions_.all();
  for (const auto& [id, driver] : sessions) {
    if (driver->session().next_attempt()) driver->try_now();
  }
}

void Dialler::close_spares() {
  for (const auto& [name, peer] : peers_)
    peer.gate->spares().clear();
}

void Dialler::released(std::unique_ptr<Transport> link, SessionDriver& driver) {
  const Peer& peer = peer_of(driver);
  if (!started_ || peer.retired || !link->made_by(peer.factory)) return;
  peer.gate->spares().put(std::move(link), spare_links_);
}

void Dialler::session_ended(SessionDriver& driver) {
  const auto attempt = attempts_.find(driver.session().id());
  if (attempt != attempts_.end()) give_up(driver, attempt->second.generation);
  if (!peer_of(driver).retired) return;
  // Later: the caller that ends the session may still be using its peer.
  boost::asio::post(worker_.io(), [this] { forget_retired(); });
}

}  // namespace backedpipe
