#include "session/accept/registry.hpp"

#include <algorithm>

#include "pipe/invariant.hpp"

namespace backedpipe {

SessionRegistry::Decision SessionRegistry::decide(const Hello& hello, std::string_view identity,
                                                  Reason service_verdict) const {
  const auto refuse = [](Reason reason) { return Decision{Verdict::refuse, reason, {}}; };

  if (const auto found = sessions_.find(hello.session); found != sessions_.end()) {
    if (found->second.identity != identity) return refuse(Reason::not_authorised);
    // A repeated opening HELLO resumes what the first one opened, if it names the same service.
    if (hello.open && hello.service != found->second.service) return refuse(Reason::protocol_error);
    return Decision{Verdict::resume, Reason::none, {}};
  }
  const Reason end = end_of(hello.session, identity);
  if (!hello.open) return refuse(end);
  if (const auto tombstone = tombstones_.find(hello.session); tombstone != tombstones_.end()) {
    // A client that opens has seen no WELCOME. If the session has expired meanwhile, it has missed
    // nothing, and gets a new one: at its next try, if the old one is not quite gone.
    if (end != Reason::expired) return refuse(end);
    if (!tombstone->second.forget_at) return refuse(Reason::overloaded);
  }
  if (service_verdict != Reason::none) return refuse(service_verdict);

  Decision decision{Verdict::open, Reason::none, {}};
  const auto own = owned_by_.find(identity);
  const std::size_t owned = own == owned_by_.end() ? 0 : own->second.count;
  const bool not_allowed =
      sessions_.size() >= options_.max_sessions || owned >= options_.max_sessions_per_identity;
  const bool not_possible = sessions_.size() >= options_.possible_sessions ||
                            owned >= options_.possible_sessions_per_identity;
  if (not_allowed || not_possible) {
    // The end of one session makes room for another, whichever limit was reached.
    if (owned == 0 || own->second.detached.empty()) {
      // What is allowed and impossible now may be possible later: the client tries again.
      return refuse(not_allowed ? Reason::session_limit : Reason::overloaded);
    }
    decision.to_evict = own->second.detached.begin()->second;
  }
  return decision;
}

Reason SessionRegistry::end_of(const SessionId& id, std::string_view identity) const {
  const auto found = tombstones_.find(id);
  if (found == tombstones_.end()) return Reason::unknown_session;
  return found->second.identity == identity ? found->second.reason : Reason::not_authorised;
}

std::optional<SessionRegistry::Tombstone> SessionRegistry::find_tombstone(
    const SessionId& id) const {
  const auto found = tombstones_.find(id);
  if (found == tombstones_.end() || !found->second.forget_at) return std::nullopt;
  const Ended& ended = found->second;
  return Tombstone{ended.identity, ended.reason, *ended.forget_at};
}

void SessionRegistry::restore_tombstone(const SessionId& id, const Tombstone& tombstone) {
  if (sessions_.contains(id)) return;
  tombstones_[id] = {std::string(tombstone.identity), tombstone.reason, tombstone.forget_at};
  // In order of time: the restored ones come before any new one.
  const std::pair entry(tombstone.forget_at, id);
  tombstone_order_.insert(std::lower_bound(tombstone_order_.begin(), tombstone_order_.end(), entry),
                          entry);
}

void SessionRegistry::add(const SessionId& id, std::string identity, std::string service,
                          TimePoint now) {
  const auto [at, added] =
      sessions_.emplace(id, Entry{std::move(identity), std::move(service), std::nullopt});
  invariant(added);
  tombstones_.erase(id);
  ++owned_by_[at->second.identity].count;
  detached(at->first, now);
}

void SessionRegistry::attached(const SessionId& id) {
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) forget_detached(id, found->second);
}

void SessionRegistry::detached(const SessionId& id, TimePoint now) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || found->second.detached_since) return;
  found->second.detached_since = now;
  owned_by(found->second.identity).detached.emplace(now, id);
}

bool SessionRegistry::end(const SessionId& id, Reason reason, TimePoint now) {
  const auto found = sessions_.find(id);
  const TimePoint forget_at = now + options_.tombstone_time;
  if (found != sessions_.end()) {
    tombstones_[id] = {take_out(found), reason, forget_at};
  } else {
    const auto evicted = tombstones_.find(id);
    if (evicted == tombstones_.end() || evicted->second.forget_at) return false;
    evicted->second.forget_at = forget_at;
  }
  tombstone_order_.emplace_back(forget_at, id);
  // Sessions that come and go quickly must not fill the memory with tombstones.
  while (tombstone_order_.size() > options_.max_sessions)
    forget_oldest_tombstone();
  return true;
}

void SessionRegistry::evict(const SessionId& id) {
  const auto found = sessions_.find(id);
  invariant(found != sessions_.end());
  tombstones_[id] = {take_out(found), Reason::expired, std::nullopt};
}

void SessionRegistry::tick(TimePoint now) {
  while (!tombstone_order_.empty() && tombstone_order_.front().first <= now)
    forget_oldest_tombstone();
}

void SessionRegistry::forget_oldest_tombstone() {
  const auto& [at, id] = tombstone_order_.front();
  const auto found = tombstones_.find(id);
  // An id that was opened again may have a later tombstone by now.
  if (found != tombstones_.end() && found->second.forget_at == at) tombstones_.erase(found);
  tombstone_order_.pop_front();
}

std::string SessionRegistry::take_out(std::unordered_map<SessionId, Entry>::iterator session) {
  forget_detached(session->first, session->second);
  const auto own = owned_by_.find(session->second.identity);
  if (--own->second.count == 0) owned_by_.erase(own);
  std::string identity = std::move(session->second.identity);
  sessions_.erase(session);
  return identity;
}

// Of an identity that has a session.
SessionRegistry::Owned& SessionRegistry::owned_by(const std::string& identity) {
  const auto found = owned_by_.find(identity);
  invariant(found != owned_by_.end());
  return found->second;
}

void SessionRegistry::forget_detached(const SessionId& id, Entry& entry) {
  if (!entry.detached_since) return;
  owned_by(entry.identity).detached.erase({*entry.detached_since, id});
  entry.detached_since.reset();
}

}  // namespace backedpipe
