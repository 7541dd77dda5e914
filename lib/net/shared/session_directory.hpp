// SessionDirectory: what all workers of a daemon know about its accepted sessions: which exist, on
// which worker each lives, and which handshakes are under way. One for the process, used from any
// thread. It is asked a few times per link, never about its bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "net/keep/ledger_file.hpp"
#include "net/shared/mutex.hpp"
#include "net/shared/session_holder.hpp"
#include "session/accept/admission.hpp"
#include "session/accept/registry.hpp"

namespace backedpipe {

class SessionDirectory {
 public:
  // The possible rulings on a HELLO.
  struct Refuse {
    Reason reason;
  };
  struct Resume {
    SessionHolder& holder;  // the worker of the session
  };
  struct Open {};  // the session lives on the worker that asked
  using Ruling = std::variant<Refuse, Resume, Open>;

  SessionDirectory() : registry_({}), admission_(1) {}

  // See SessionRegistry and Admission.
  void limit(const RegistryOptions& options, std::size_t max_handshakes);

  // Rules on a HELLO that `asker` has received. A new session lives there and is in the directory
  // at once: of two simultaneous HELLOs one opens and one resumes. If another session has to end to
  // make room, its holder is told. With `draining` no session is opened.
  Ruling rule(const Hello& hello, std::string_view identity, Reason service_verdict,
              SessionHolder& asker, bool draining, TimePoint now);
  // See SessionRegistry.
  Reason end_of(const SessionId& id, std::string_view identity);
  void attached(const SessionId& id);
  void detached(const SessionId& id, TimePoint now);
  void end(const SessionId& id, Reason reason, TimePoint now);
  void tick(TimePoint now);

  // --- for the next process, and from the one before

  // How sessions have ended is recorded there, the latest in the place of the oldest. They must
  // outlive the directory, or the last call of end().
  void record_tombstones(std::span<TombstoneSlot> slots);
  void restore_tombstone(const LedgerFileView::Tombstone& tombstone);
  // A session that is there already lives on this holder.
  void restore(const SessionId& id, std::string identity, std::string service,
               SessionHolder& holder, TimePoint now);

  // A handshake with `source` begins on `asker`; see Admission. If another handshake has to make
  // room, its holder is told.
  Admission::Ticket enter(const std::string& source, SessionHolder& asker);
  // The handshake is over. The ticket may be of a handshake that had to make room.
  void leave(Admission::Ticket ticket);

 private:
  void record_tombstone(const SessionId& id) REQUIRES(mutex_);

  Mutex mutex_;
  SessionRegistry registry_ GUARDED_BY(mutex_);
  std::unordered_map<SessionId, SessionHolder*> holders_ GUARDED_BY(mutex_);
  std::span<TombstoneSlot> tombstones_ GUARDED_BY(mutex_);
  std::size_t next_tombstone_ GUARDED_BY(mutex_) = 0;
  Admission admission_ GUARDED_BY(mutex_);
  std::unordered_map<Admission::Ticket, SessionHolder*> handshakes_ GUARDED_BY(mutex_);
};

}  // namespace backedpipe
