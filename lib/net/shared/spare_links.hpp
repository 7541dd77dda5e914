// SpareLinks: links to one peer whose session has come to a clean end, kept for a while for the
// sessions to come, which then need no new connection and no handshake of the transport. One for
// all workers: which of them a session comes to is chance. Used from any thread, once or twice in
// the life of a session.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/link/transport.hpp"
#include "net/shared/mutex.hpp"
#include "net/timer.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

class SpareLinks : public std::enable_shared_from_this<SpareLinks> {
 public:
  // For how long the side that dials keeps one. The side that accepts waits longer, so that a HELLO
  // seldom crosses its close.
  static constexpr Duration kKeep = std::chrono::seconds(30);
  static constexpr Duration kAwait = std::chrono::seconds(45);

  // The timer runs on `home`. Empty before any of the threads whose links it has been given ends.
  explicit SpareLinks(boost::asio::io_context& home) : home_(home), timer_(home) {}

  // Closes it when there are `most` already. Nobody waits on its socket.
  void put(std::unique_ptr<Transport> link, std::size_t most);
  // The one that was in use last, if possible on `io`'s thread, the caller's; from now on it is of
  // that. Null when there is none that is of this factory (see Transport::made_by) and looks alive.
  std::unique_ptr<Transport> take(const std::shared_ptr<const TransportFactory>& factory,
                                  boost::asio::io_context& io);
  // What was known of the peer or of the network is not true any more.
  void clear();

  std::size_t size() const;

 private:
  struct Spare {
    std::unique_ptr<Transport> link;
    TimePoint since;
  };

  std::unique_ptr<Transport> take_newest(boost::asio::io_context& io) REQUIRES(mutex_);
  void look_again();
  void close_useless() EXCLUDES(mutex_);

  boost::asio::io_context& home_;
  mutable Mutex mutex_;
  std::vector<Spare> spares_ GUARDED_BY(mutex_);  // the oldest first
  bool looking_ GUARDED_BY(mutex_) = false;       // from time to time
  Timer timer_;                                   // home's only
};

}  // namespace backedpipe
