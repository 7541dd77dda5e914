// SessionDirectory: what the workers of a server know together: which sessions there are and on
// which of them each lives, and who is in the middle of a handshake. Used from any thread; asked a
// few times in the life of a link, never about its bytes.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "session/admission.hpp"
#include "session/registry.hpp"

namespace backedpipe {

class Server;

class SessionDirectory {
 public:
  struct Ruling {
    SessionRegistry::Verdict verdict = SessionRegistry::Verdict::refuse;
    Reason reason = Reason::none;  // for refuse
    Server* holder = nullptr;      // for resume: where the session lives
    // For open: these end for it. They are in nobody's way any more, whenever they have ended.
    std::optional<std::pair<SessionId, Server*>> evicted;
  };
  struct Entered {
    Admission::Ticket ticket = 0;
    std::optional<std::pair<Admission::Ticket, Server*>> evicted;
  };

  SessionDirectory() : registry_({}), admission_(1) {}

  // See SessionRegistry and Admission.
  void limit(const RegistryOptions& options, std::size_t max_handshakes);

  // Decides about a HELLO that `asker` has heard. What it opens lives there, and is in the
  // directory at once, so that of two that come at the same time one opens and one resumes. With
  // `draining` nothing is opened.
  Ruling rule(const Hello& hello, std::string_view identity, Reason service_verdict, Server& asker,
              bool draining, TimePoint now);
  // See SessionRegistry.
  Reason end_of(const SessionId& id, std::string_view identity);
  void attached(const SessionId& id);
  void detached(const SessionId& id, TimePoint now);
  void end(const SessionId& id, Reason reason, TimePoint now);
  void tick(TimePoint now);

  Entered enter(const std::string& source, Server& asker);
  void leave(Admission::Ticket ticket);

 private:
  std::mutex mutex_;
  SessionRegistry registry_;
  std::unordered_map<SessionId, Server*> holders_;
  Admission admission_;
  std::unordered_map<Admission::Ticket, Server*> pending_;
};

}  // namespace backedpipe
