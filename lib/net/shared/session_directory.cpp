#include "net/shared/session_directory.hpp"

namespace backedpipe {

void SessionDirectory::limit(const RegistryOptions& options, std::size_t max_handshakes) {
  const std::scoped_lock lock(mutex_);
  registry_.limit(options);
  admission_.limit(max_handshakes);
}

SessionDirectory::Ruling SessionDirectory::rule(const Hello& hello, std::string_view identity,
                                                Reason service_verdict, Server& asker,
                                                bool draining, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  const SessionRegistry::Decision decision = registry_.decide(hello, identity, service_verdict);
  Ruling ruling{decision.verdict, decision.reason, nullptr, std::nullopt};
  switch (decision.verdict) {
    case SessionRegistry::Verdict::refuse:
      break;
    case SessionRegistry::Verdict::resume:
      ruling.holder = holders_.at(hello.session);
      break;
    case SessionRegistry::Verdict::open:
      if (draining) {
        ruling.verdict = SessionRegistry::Verdict::refuse;
        ruling.reason = Reason::shutting_down;
        break;
      }
      if (decision.to_evict) {
        ruling.evicted.emplace(*decision.to_evict, holders_.at(*decision.to_evict));
        registry_.end(*decision.to_evict, Reason::expired, now);
        holders_.erase(*decision.to_evict);
      }
      registry_.add(hello.session, std::string(identity), hello.service, now);
      holders_.emplace(hello.session, &asker);
      break;
  }
  return ruling;
}

Reason SessionDirectory::end_of(const SessionId& id, std::string_view identity) {
  const std::scoped_lock lock(mutex_);
  return registry_.end_of(id, identity);
}

void SessionDirectory::attached(const SessionId& id) {
  const std::scoped_lock lock(mutex_);
  registry_.attached(id);
}

void SessionDirectory::detached(const SessionId& id, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  registry_.detached(id, now);
}

void SessionDirectory::end(const SessionId& id, Reason reason, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  registry_.end(id, reason, now);
  holders_.erase(id);
}

void SessionDirectory::tick(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  registry_.tick(now);
}

SessionDirectory::Entered SessionDirectory::enter(const std::string& source, Server& asker) {
  const std::scoped_lock lock(mutex_);
  const Admission::Admitted admitted = admission_.enter(source);
  pending_.emplace(admitted.ticket, &asker);
  Entered entered{admitted.ticket, std::nullopt};
  if (admitted.evicted) {
    const auto found = pending_.find(*admitted.evicted);
    entered.evicted.emplace(*admitted.evicted, found->second);
    pending_.erase(found);
  }
  return entered;
}

void SessionDirectory::leave(Admission::Ticket ticket) {
  const std::scoped_lock lock(mutex_);
  admission_.leave(ticket);
  pending_.erase(ticket);
}

}  // namespace backedpipe
