// SessionRegistry: which sessions a server has, whose they are, and how those ended that are gone
// since recently. It decides what to do about each HELLO, and holds no session itself. Owned by the
// server side of a worker.
//
// A session belongs to the identity that opened it: no other identity can resume it, learn how it
// ended, or cause it to be evicted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "pipe/time.hpp"
#include "proto/handshake.hpp"

namespace backedpipe {

struct RegistryOptions {
  std::size_t max_sessions = 10000;
  std::size_t max_sessions_per_identity = 10000;
  // How many sessions this process has descriptors for: see DescriptorPlan.
  std::size_t possible_sessions = SIZE_MAX;
  std::size_t possible_sessions_per_identity = SIZE_MAX;
  // How long an ended session's id is remembered, for a peer that has missed the end.
  Duration tombstone_time = std::chrono::minutes(2);
};

class SessionRegistry {
 public:
  enum class Verdict { open, resume, refuse };

  struct Decision {
    Verdict verdict = Verdict::refuse;
    Reason reason = Reason::none;       // for refuse
    std::optional<SessionId> to_evict;  // for open: end this one first
  };

  explicit SessionRegistry(const RegistryOptions& options) : options_(options) {}
  // Changes the limits. Sessions above a lower limit stay, but no new one is opened.
  void limit(const RegistryOptions& options) { options_ = options; }

  // What to do about a HELLO of an authenticated peer. `service_verdict` is none when the service
  // exists and this identity may use it, otherwise why not. Changes nothing.
  Decision decide(const Hello& hello, std::string_view identity, Reason service_verdict) const;

  // How a session ended that is not there any more: its reason, unknown_session when that is not
  // known, not_authorised when it belonged to another identity.
  Reason end_of(const SessionId& id, std::string_view identity) const;

  // Of a session that is not there any more; see end(). Nothing if it is not known, or its owner
  // has yet to report the end.
  struct Tombstone {
    std::string_view identity;
    Reason reason;
    TimePoint forget_at;
  };
  std::optional<Tombstone> find_tombstone(const SessionId& id) const;
  // One that another process has known. Does nothing if the id is in use.
  void restore_tombstone(const SessionId& id, const Tombstone& tombstone);

  // Reports of what happened. A session is detached when added.
  void add(const SessionId& id, std::string identity, std::string service, TimePoint now);
  void attached(const SessionId& id);
  void detached(const SessionId& id, TimePoint now);
  // The session has to make room: it does not count any more and cannot be resumed, and has ended
  // with `expired`. Its owner reports the end later; until then its id is not used again, so that
  // this report cannot mean another session.
  void evict(const SessionId& id);
  // The owner's report: the session is over; its id becomes a tombstone. One that was evicted keeps
  // its reason. False: not found.
  bool end(const SessionId& id, Reason reason, TimePoint now);

  // Forgets tombstones whose time is over.
  void tick(TimePoint now);

  std::size_t size() const { return sessions_.size(); }
  std::size_t tombstone_count() const { return tombstones_.size(); }

 private:
  struct Entry {
    std::string identity;
    std::string service;
    std::optional<TimePoint> detached_since;
  };
  struct Ended {
    std::string identity;
    Reason reason;
    std::optional<TimePoint> forget_at;  // not before the owner has reported the end
  };
  // The longest detached first.
  using Detached = std::set<std::pair<TimePoint, SessionId>>;

  // The sessions of one identity. There is an entry as long as it has any.
  struct Owned {
    std::size_t count = 0;
    Detached detached;
  };

  Owned& owned_by(const std::string& identity);
  void forget_detached(const SessionId& id, Entry& entry);
  // Takes the session out; gives its identity.
  std::string take_out(std::unordered_map<SessionId, Entry>::iterator session);
  void forget_oldest_tombstone();

  RegistryOptions options_;
  std::unordered_map<SessionId, Entry> sessions_;
  std::map<std::string, Owned, std::less<>> owned_by_;
  std::unordered_map<SessionId, Ended> tombstones_;
  // When each is to be forgotten. An id that was opened again is still here.
  std::deque<std::pair<TimePoint, SessionId>> tombstone_order_;
};

}  // namespace backedpipe
