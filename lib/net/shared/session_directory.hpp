// SessionDirectory: what the workers of a daemon know together about the sessions that they have
// accepted: which there are, on which worker each lives, and which handshakes are under way. One for
// the process, used from any thread. It is asked a few times in the life of a link, never about its
// bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "net/shared/mutex.hpp"
#include "net/shared/session_holder.hpp"
#include "session/accept/admission.hpp"
#include "session/accept/registry.hpp"

namespace backedpipe {

class SessionDirectory {
 public:
  // The answers to a HELLO.
  struct Refuse {
    Reason reason;
  };
  struct Resume {
    SessionHolder& holder;  // the session lives there
  };
  struct Open {};  // the session lives with the one who asked
  using Ruling = std::variant<Refuse, Resume, Open>;

  SessionDirectory() : registry_({}), admission_(1) {}

  // See SessionRegistry and Admission.
  void limit(const RegistryOptions& options, std::size_t max_handshakes);

  // Decides about a HELLO that `asker` has heard. A session that is opened lives there and is in the
  // directory at once: of two HELLOs that come at the same time one opens and one resumes. If
  // another session ends to make room for it, that one's holder is told. With `draining` nothing is
  // opened.
  Ruling rule(const Hello& hello, std::string_view identity, Reason service_verdict,
              SessionHolder& asker, bool draining, TimePoint now);
  // See SessionRegistry.
  Reason end_of(const SessionId& id, std::string_view identity);
  void attached(const SessionId& id);
  void detached(const SessionId& id, TimePoint now);
  void end(const SessionId& id, Reason reason, TimePoint now);
  void tick(TimePoint now);

  // A handshake with `source` begins on `asker`; see Admission. If another one has to make room for
  // it, that one's holder is told.
  Admission::Ticket enter(const std::string& source, SessionHolder& asker);
  // The handshake is over. The ticket of one that had to make room is fine.
  void leave(Admission::Ticket ticket);

 private:
  Mutex mutex_;
  SessionRegistry registry_ GUARDED_BY(mutex_);
  std::unordered_map<SessionId, SessionHolder*> holders_ GUARDED_BY(mutex_);
  Admission admission_ GUARDED_BY(mutex_);
  std::unordered_map<Admission::Ticket, SessionHolder*> handshakes_ GUARDED_BY(mutex_);
};

}  // namespace backedpipe
