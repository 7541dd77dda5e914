// SpareLinks: links to one peer whose session has come to a clean end, kept for a while for the
// sessions to come, which then need no new connection and no handshake of the transport. One for
// each peer and worker, on its thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/link/transport.hpp"
#include "net/timer.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

class SpareLinks : public std::enable_shared_from_this<SpareLinks> {
 public:
  // For how long the side that dials keeps one. The side that accepts waits longer, so that a HELLO
  // seldom crosses its close.
  static constexpr Duration kKeep = std::chrono::seconds(30);
  static constexpr Duration kAwait = std::chrono::seconds(45);

  explicit SpareLinks(boost::asio::io_context& io) : timer_(io) {}

  // Nobody waits on its socket.
  void put(std::unique_ptr<Transport> link);
  // The one that was in use last; null when there is none that looks alive.
  std::unique_ptr<Transport> take();
  // What was known of the peer or of the network is not true any more.
  void clear();

  std::size_t size() const { return spares_.size(); }

 private:
  struct Spare {
    std::unique_ptr<Transport> link;
    TimePoint since;
  };

  void await_close(Transport& link);
  void close_old();
  void arm();

  std::vector<Spare> spares_;  // the oldest first
  Timer timer_;
  bool armed_ = false;
};

}  // namespace backedpipe
