// Liveness judges a link by what was received on it. Data that goes out proves nothing: the kernel
// takes it long after the path is gone.
//
//   nothing received for `ping`                   → ask (PING)
//   in the middle of data, nothing received for a
//   third of the patience                         → ask, rather than wait for an idle link's ping
//   something owed, nothing received for the
//   patience                                      → suspect: worth trying another link beside this
//                                                   one
//   nothing received for `dead`                   → dead: let it go
//
// The patience with a link follows its round trip: two retransmission timeouts of TCP's, at least
// a quarter of `suspect` and at most all of it, 750 ms to 3 s by default. A link that needs more
// than a third of `suspect` for a round trip is suspected later, at most at twice the time. While
// no round trip is known it is `suspect`.
//
// "In the middle of data" is a link on which data is out unanswered, or the last that came was
// data. Owed is a PONG, also while a full socket holds up the PING, and the answer to data that is
// out. A peer that does not acknowledge because its application does not read still answers the
// question that comes first.
//
// On a slow and lossy path a PING can wait longer than any patience behind what has to be sent
// again, while TCP gets on. So before a link is called suspect TCP is asked: that something of ours
// was acknowledged since it was asked before shows that both directions are open, and patience
// begins anew.
//
// When the network changes there is no need to wait for silence: doubt() says at once what becomes
// of a link. A value with no state but its settings.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/backed_pipe.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

struct LivenessOptions {
  Duration ping = std::chrono::seconds(5);
  Duration suspect = std::chrono::seconds(3);
  Duration dead = std::chrono::seconds(15);
};

// The other side's TCP has acknowledged something that it had not when this was asked before.
struct TcpAnswer {
  TimePoint at;         // when its latest acknowledgement came
  Duration round_trip;  // the least that TCP has measured lately
};

// Whom to ask how the TCP connection of a link gets on.
class TcpWitness {
 public:
  virtual ~TcpWitness() = default;
  // What TCP has heard since this was called before. Nothing: nothing new, or nobody can say.
  virtual std::optional<TcpAnswer> tcp_answer(TimePoint now) = 0;
};

// What was noticed about the network, at this end.
struct NetworkChange {
  // An address, a route or an interface came or went: packets may take another way from now on.
  bool rerouted = false;
  // The machine was suspended and runs again.
  bool resumed = false;

  bool any() const { return rerouted || resumed; }
};

// What is known of one link when the network changes.
struct LinkFacts {
  bool loopback = false;      // its own address is of this machine only
  bool address_gone = false;  // no interface that is up has its local address any more
  // An answer to data or to a ping is outstanding for this long.
  std::optional<Duration> owed_for = {};
  std::optional<Duration> round_trip = {};
};

class Liveness {
 public:
  enum class Verdict { alive, ask, suspect, dead };

  explicit Liveness(const LivenessOptions& options) : options_(options) {}

  // Of the pipe's current link; alive when there is none.
  Verdict judge(const BackedPipe& pipe, TimePoint now) const;
  // When the verdict may change next if nothing is received until then.
  std::optional<TimePoint> deadline(const BackedPipe& pipe, TimePoint now) const;
  // The answer came from the far end of the link, not from a relay on the way, and the way is so
  // long that patience may be too short.
  static bool believes(const BackedPipe& pipe, const TcpAnswer& answer);

  // --- when the network changes

  // Ask: whether the link still answers. Distrust: try another link beside it now.
  enum class Doubt : std::uint8_t { none, ask, distrust };
  static Doubt doubt(const NetworkChange& change, const LinkFacts& link);
  // What the pipe knows of its current link; the addresses are for others to fill in.
  static LinkFacts facts_of(const BackedPipe& pipe, TimePoint now);

 private:
  TimePoint ask_at(const BackedPipe& pipe) const;
  std::optional<TimePoint> suspect_at(const BackedPipe& pipe) const;
  Duration patience(const BackedPipe& pipe) const;

  LivenessOptions options_;
};

}  // namespace backedpipe
