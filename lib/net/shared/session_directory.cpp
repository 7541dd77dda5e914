#include "net/shared/session_directory.hpp"

#include <utility>

#include "pipe/invariant.hpp"

namespace backedpipe {

void SessionDirectory::limit(const RegistryOptions& options, std::size_t max_handshakes) {
  const MutexLock lock(mutex_);
  registry_.limit(options);
  admission_.limit(max_handshakes);
}

SessionDirectory::Ruling SessionDirectory::rule(const Hello& hello, std::string_view identity,
                                                Reason service_verdict, SessionHolder& asker,
                                                bool draining, TimePoint now) {
  const MutexLock lock(mutex_);
  const SessionRegistry::Decision decision = registry_.decide(hello, identity, service_verdict);
  if (decision.verdict == SessionRegistry::Verdict::refuse) return Refuse{decision.reason};
  if (decision.verdict == SessionRegistry::Verdict::resume) {
    const auto holder = holders_.find(hello.session);
    invariant(holder != holders_.end());
    return Resume{*holder->second};
  }
  if (draining) return Refuse{Reason::shutting_down};
  if (decision.to_evict) {
    const auto evicted = holders_.find(*decision.to_evict);
    invariant(evicted != holders_.end());
    evicted->second->expire(*decision.to_evict);
    // Ended here at once, because its place is taken; its worker ends it later, and says so.
    registry_.evict(*decision.to_evict);
    holders_.erase(evicted);
  }
  registry_.add(hello.session, std::string(identity), hello.service, now);
  holders_.emplace(hello.session, &asker);
  return Open{};
}

Reason SessionDirectory::end_of(const SessionId& id, std::string_view identity) {
  const MutexLock lock(mutex_);
  return registry_.end_of(id, identity);
}

void SessionDirectory::attached(const SessionId& id) {
  const MutexLock lock(mutex_);
  registry_.attached(id);
}

void SessionDirectory::detached(const SessionId& id, TimePoint now) {
  const MutexLock lock(mutex_);
  registry_.detached(id, now);
}

void SessionDirectory::end(const SessionId& id, Reason reason, TimePoint now) {
  const MutexLock lock(mutex_);
  registry_.end(id, reason, now);
  holders_.erase(id);
  record_tombstone(id);
}

void SessionDirectory::record_tombstones(std::span<TombstoneSlot> slots) {
  const MutexLock lock(mutex_);
  tombstones_ = slots;
}

void SessionDirectory::record_tombstone(const SessionId& id) {
  if (tombstones_.empty()) return;
  const auto tombstone = registry_.find_tombstone(id);
  if (!tombstone || tombstone->identity.size() > TombstoneSlot::kMostIdentityBytes) return;
  LedgerFile::set(tombstones_[next_tombstone_++ % tombstones_.size()], id, tombstone->identity,
                  tombstone->reason,
                  static_cast<std::uint64_t>(tombstone->forget_at.time_since_epoch().count()));
}

void SessionDirectory::restore_tombstone(const LedgerFileView::Tombstone& tombstone) {
  const MutexLock lock(mutex_);
  const TimePoint forget_at(Duration(static_cast<std::int64_t>(tombstone.forget_at)));
  registry_.restore_tombstone(tombstone.id, {tombstone.identity, tombstone.reason, forget_at});
  record_tombstone(tombstone.id);
}

void SessionDirectory::restore(const SessionId& id, std::string identity, std::string service,
                               SessionHolder& holder, TimePoint now) {
  const MutexLock lock(mutex_);
  registry_.add(id, std::move(identity), std::move(service), now);
  holders_.emplace(id, &holder);
}

void SessionDirectory::tick(TimePoint now) {
  const MutexLock lock(mutex_);
  registry_.tick(now);
}

Admission::Ticket SessionDirectory::enter(const std::string& source, SessionHolder& asker) {
  const MutexLock lock(mutex_);
  const Admission::Admitted admitted = admission_.enter(source);
  handshakes_.emplace(admitted.ticket, &asker);
  if (admitted.evicted) {
    const auto evicted = handshakes_.find(*admitted.evicted);
    invariant(evicted != handshakes_.end());
    evicted->second->make_room_for(*admitted.evicted);
    handshakes_.erase(evicted);
  }
  return admitted.ticket;
}

void SessionDirectory::leave(Admission::Ticket ticket) {
  const MutexLock lock(mutex_);
  admission_.leave(ticket);
  handshakes_.erase(ticket);
}

}  // namespace backedpipe
