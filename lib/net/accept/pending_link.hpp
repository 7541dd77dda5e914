// PendingLink: an accepted link that has not said which session it is for. A link that was just
// accepted is not authenticated: it gets ten seconds in all for the transport's handshake and the
// HELLO, and one small fixed buffer. A link whose session has ended waits for its next HELLO; once
// that has begun, it gets ten seconds as well. It reports its outcome exactly once. Kept alive by
// its own waits, on its socket's thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "net/link/heard_link.hpp"
#include "net/timer.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

class PendingLink : public std::enable_shared_from_this<PendingLink> {
 public:
  // Harmless: the peer closed the link before it sent anything (the link lost a race, or was a
  // probe), or a spare link got no further HELLO.
  struct Closed {
    std::string why;
  };
  struct Evicted {};
  struct Failed {
    std::string why;
  };
  using Outcome = std::variant<HeardLink, Closed, Evicted, Failed>;
  using Report = std::function<void(Outcome)>;

  // How long a link whose session has ended may take.
  struct Patience {
    Duration before_hello;                      // to begin its HELLO
    Duration within_hello = kHandshakeTimeout;  // from there to the end of the HELLO
  };

  PendingLink(std::unique_ptr<Transport> transport, Report report);

  void start();
  // Instead of start(), for a link whose transport has already completed its handshake.
  void await_hello(const Patience& patience);
  // Closes the link, to make room for others. Reports before it returns.
  void evict() { finish(Evicted{}); }

 private:
  void begin(Duration deadline);
  void shake_hands();
  void hear();
  void finish(Outcome outcome);
  void wait(IoResult::Status status, void (PendingLink::*then)());

  std::unique_ptr<Transport> transport_;
  Report report_;
  ServerHandshake handshake_;
  Timer timer_;
  bool secured_ = false;  // the transport's handshake is complete
  bool spare_ = false;    // an earlier session used this link
  std::optional<Duration>
      patience_;  // of a spare link whose HELLO has not begun: for the whole of it
};

}  // namespace backedpipe
