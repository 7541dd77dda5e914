// SpareLinks: links to one peer whose session has ended cleanly, kept for a while: a later session
// on one needs no new connection and no transport handshake. One for all workers, since any of them
// may get the next session. Used from any thread, once or twice per session.
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
  // How long the dialling side keeps a link. The accepting side waits longer, so that a HELLO
  // rarely crosses the close.
  static constexpr Duration kKeep = std::chrono::seconds(30);
  static constexpr Duration kAwait = std::chrono::seconds(45);

  // The timer runs on `home`. Call clear() before a thread whose links are kept here ends.
  explicit SpareLinks(boost::asio::io_context& home) : home_(home), timer_(home) {}

  // Closes the link if `most` are kept already. Precondition: nothing waits on its socket.
  void put(std::unique_ptr<Transport> link, std::size_t most);
  // The most recently used link, preferably one on `io`'s thread, which is the caller's; the link
  // is moved to that thread. Null if no link both was made by this factory (see
  // Transport::made_by) and looks alive.
  std::unique_ptr<Transport> take(const std::shared_ptr<const TransportFactory>& factory,
                                  boost::asio::io_context& io);
  // What was known about the peer or the network no longer holds.
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
  bool looking_ GUARDED_BY(mutex_) = false;       // the periodic check is running
  Timer timer_;                                   // used on home's thread only
};

}  // namespace backedpipe
