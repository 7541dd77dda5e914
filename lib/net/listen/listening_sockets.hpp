// ListeningSockets opens the sockets that listeners accept on: one for each worker that asks for an
// address. TCP sockets share their port by SO_REUSEPORT, so that the kernel spreads connections
// over the workers; a Unix socket, or one that was passed, is one socket that all of them hold.
// Made for one start or one reload; used on one thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "config/address.hpp"
#include "net/listen/passed_sockets.hpp"

namespace backedpipe {

// Bound; a Listener's to take.
struct ListeningSocket {
  int descriptor = -1;
  Address address;      // with the port that the kernel has chosen if 0 was asked for
  bool passed = false;  // by whoever started the daemon
  bool unlink = false;  // the Unix socket's file goes with it
};

class ListeningSockets {
 public:
  ListeningSockets() = default;
  // Where a socket was passed for a listener, that one is used.
  explicit ListeningSockets(PassedSockets& passed) : passed_(&passed) {}

  // For the listener of this name (see PassedSockets) and address, of several such the one at
  // `place`; the next call for the same gives the next worker's. A port that somebody else has is
  // in use, also if he would share it. A Unix socket's file that nobody listens on any more is
  // replaced. Throws std::runtime_error with a sentence that names the address.
  ListeningSocket open(const Address& wanted, const std::string& name = {}, std::size_t place = 0);

 private:
  ListeningSocket open_first(const Address& wanted, const std::string& name);

  PassedSockets* passed_ = nullptr;
  boost::asio::io_context io_;
  std::map<std::string, ListeningSocket> opened_;  // the first of each listener
};

}  // namespace backedpipe
