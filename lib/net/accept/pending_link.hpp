// PendingLink: a link of a server that has not said which session it is for. One that was just
// accepted has not proved anything yet: it does the transport's handshake and hears the HELLO, in
// ten seconds altogether and with one small fixed buffer, then hands itself to the server or
// refuses. One whose session has ended waits for its next HELLO. Kept alive by its own waits;
// reports its end exactly once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "net/link/transport.hpp"
#include "net/timer.hpp"
#include "session/admission.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

// Answers a HELLO with a refusal and closes the link.
void refuse_link(std::unique_ptr<Transport> transport, const Refused& refused);

class PendingLink : public std::enable_shared_from_this<PendingLink> {
 public:
  // The HELLO is there. The receiver takes the transport, or leaves it and returns why not.
  using Heard = std::function<Refused(std::unique_ptr<Transport>& transport, const Hello& hello,
                                      ConstBytes early)>;
  enum class End : std::uint8_t {
    heard,    // taken over, or refused by the receiver, who knows the reason better
    closed,   // by the other side, which has said nothing: it lost a race, or only looked
    evicted,  // made room for others
    failed,
  };
  // It is over, one way or the other.
  using Over = std::function<void(End end, const std::string& why)>;

  PendingLink(std::unique_ptr<Transport> transport, Heard heard, Over over);

  void start();
  // Instead of start(): the transport's handshake has been complete for long.
  void await_hello(Duration how_long);
  // Makes room for others.
  void evict();

 private:
  void begin(Duration deadline);
  void shake_hands();
  void hear();
  void finish(End end, const std::string& why = {});
  void wait(IoResult::Status status, void (PendingLink::*then)());

  std::unique_ptr<Transport> transport_;
  Heard heard_;
  Over over_;
  ServerHandshake handshake_;
  Timer timer_;
  bool secured_ = false;  // the transport's handshake is complete
  bool spare_ = false;    // and so was a session
};

}  // namespace backedpipe
