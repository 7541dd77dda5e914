// The two ends between which a SessionPump moves bytes: an application's connection and a link.
// Sockets in the daemon, queues with faults in the simulation.
#pragma once

#include <optional>
#include <span>

#include <boost/system/error_code.hpp>

#include "session/liveness.hpp"
#include "session/pump/io_result.hpp"

namespace backedpipe {

// What an application's TCP owes: it was sent bytes that it has not acknowledged, or for which it
// has no room.
struct Unanswered {
  unsigned
      attempts;  // how often TCP has asked since its last answer: retransmissions, window probes
  Duration silence;  // since anything came from it
};

class ApplicationEnd {
 public:
  virtual ~ApplicationEnd() = default;

  // Fills `pieces` from the front.
  virtual IoResult read(std::span<const MutableBytes> pieces) = 0;
  // Writes the front of `pieces` to the application.
  virtual IoResult write(std::span<const ConstBytes> pieces) = 0;
  // Takes the pending error of the connection, if any; the next call does not return it again.
  virtual boost::system::error_code take_error() = 0;
  // Nothing if the application owes nothing, or the system cannot say.
  virtual std::optional<Unanswered> unanswered() = 0;
  // Half-close: the application reads the end of the stream, and may still write.
  virtual void finish() = 0;
  // Precondition: both directions have ended in order.
  virtual void close() = 0;
  // Tells the application that it has not received everything.
  virtual void reset() = 0;
};

class LinkEnd : public TcpWitness {
 public:
  // Fills `pieces` from the front.
  virtual IoResult read(std::span<const MutableBytes> pieces) = 0;
  // Sends from the front of `pieces`. After want_write the same bytes must be offered again.
  virtual IoResult write(std::span<const ConstBytes> pieces) = 0;
  // The last read took everything that was available.
  virtual bool drained() const = 0;
};

}  // namespace backedpipe
