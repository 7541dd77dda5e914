// Liveness judges a link by what was received on it. Outgoing data proves nothing: the kernel takes
// it long after the path is gone.
//
//   nothing received for      while                    verdict
//   `ping`                                             ask (PING)
//   a third of the patience   in the middle of data,   ask
//                             or on a link that has yet to answer
//   the patience              something is owed        suspect: try another link beside this one
//   `dead`                                             dead: close it
//
// The patience follows the round trip of the link: two of TCP's retransmission timeouts, but at
// least a quarter of `suspect` and at most all of it; 750 ms to 3 s by default. A link whose round
// trip takes more than a third of `suspect` gets more: three round trips, at most twice `suspect`,
// or one and a half of the least of the latest three. Until a round trip is known, the patience is
// `suspect`, or twice what the handshake took. When three links in a row have died young, before
// data had passed on any of them, each further one is given twice as much: whatever is wrong, TCP
// may find a way out of it.
//
// A link is "in the middle of data" when data is out unanswered, or when data came last. "Owed" are
// a PONG, even while a full socket holds up the PING, and the answer to data that is out. A peer
// whose application does not read acknowledges nothing, but still answers the PING.
//
// On a slow and lossy path, a PING can wait longer than any patience until TCP has retransmitted
// what was sent before it. So TCP is asked before a link is suspected. A segment of ours that
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

// The peer's TCP has acknowledged something new since the last question.
struct TcpAnswer {
  TimePoint at;         // when its latest acknowledgement came
  Duration round_trip;  // the least that TCP has measured lately
};

// Knows whether the TCP connection of a link makes progress.
class TcpWitness {
 public:
  virtual ~TcpWitness() = default;
  // What TCP has heard since the last call. Nothing: no news, or the system does not say.
  virtual std::optional<TcpAnswer> tcp_answer(TimePoint now) = 0;
};

// What was noticed about the network, at this end.
struct NetworkChange {
  // An address, a route or an interface came or went: packets may take another path from now on.
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

  // Judges the pipe's current link; alive when it has none. `fruitless`: how many links before it
  // have died young in a row.
  Verdict judge(const BackedPipe& pipe, TimePoint now, std::uint32_t fruitless = 0) const;
  // When the verdict may change next if nothing is received until then.
  std::optional<TimePoint> deadline(const BackedPipe& pipe, TimePoint now,
                                    std::uint32_t fruitless = 0) const;
  // Whether TCP's answer counts: it came from the peer, not from a relay on the path, and the path
  // is so long that the patience may be too short.
  static bool believes(const BackedPipe& pipe, const TcpAnswer& answer);

  // --- when the network changes

  // Ask: whether the link still answers. Distrust: try another link beside it now.
  enum class Doubt : std::uint8_t { none, ask, distrust };
  static Doubt doubt(const NetworkChange& change, const LinkFacts& link);
  // What the pipe knows of its current link; the addresses are for others to fill in.
  static LinkFacts facts_of(const BackedPipe& pipe, TimePoint now);

 private:
  TimePoint ask_at(const BackedPipe& pipe) const;
  TimePoint suspect_at(const BackedPipe& pipe, std::uint32_t fruitless) const;
  Duration patience(const BackedPipe& pipe) const;

  LivenessOptions options_;
};

}  // namespace backedpipe
