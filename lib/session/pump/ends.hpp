// The two ends between which a SessionPump moves bytes: an application's connection and a link. On
// sockets in the daemon, on queues with faults in the simulation.
#pragma once

#include <span>

#include <boost/system/error_code.hpp>

#include "session/liveness.hpp"
#include "session/pump/io_result.hpp"

namespace backedpipe {

class ApplicationEnd {
 public:
  virtual ~ApplicationEnd() = default;

  // Fills `pieces` from the front.
  virtual IoResult read(std::span<const MutableBytes> pieces) = 0;
  // Gives the application the front of `pieces`.
  virtual IoResult write(std::span<const ConstBytes> pieces) = 0;
  // The error that the connection has, if any; taken, so that nobody hears of it again.
  virtual boost::system::error_code take_error() = 0;
  // Half-close: the application reads the end of the stream, and may go on writing.
  virtual void finish() = 0;
  // Both directions have ended in good order.
  virtual void close() = 0;
  // The application must not take what it got for all there was.
  virtual void reset() = 0;
};

class LinkEnd : public TcpWitness {
 public:
  // Fills `pieces` from the front.
  virtual IoResult read(std::span<const MutableBytes> pieces) = 0;
  // Sends from the front of `pieces`. After want_write the same bytes must be offered again.
  virtual IoResult write(std::span<const ConstBytes> pieces) = 0;
  // The last read took all that there was.
  virtual bool drained() const = 0;
};

}  // namespace backedpipe
