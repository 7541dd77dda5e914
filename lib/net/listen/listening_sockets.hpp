// ListeningSockets opens the sockets that listeners accept on: one for each worker that asks for an
// address. TCP sockets share their port by SO_REUSEPORT, so that the kernel spreads connections
// over the workers. A Unix socket, or one that was passed, is a single socket that all workers
// share. Made for one start or one reload; used on one thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "config/address.hpp"
#include "net/keep/kept_descriptors.hpp"
#include "net/listen/passed_sockets.hpp"

namespace backedpipe {

// A bound socket, for a Listener to take.
struct ListeningSocket {
  int descriptor = -1;
  Address address;      // with the port that the kernel has chosen if 0 was asked for
  bool passed = false;  // see PassedSockets
  bool unlink = false;  // remove the Unix socket's file at the end
};

class ListeningSockets {
 public:
  using Prepare = std::function<void(int socket)>;

  ListeningSockets() = default;
  // Where a socket was passed for a listener, or kept from the process before this one and has the
  // wanted address, that one is used.
  ListeningSockets(PassedSockets& passed, KeptDescriptors& kept) : passed_(&passed), kept_(&kept) {}

  // Opens a socket for the listener of this name (see PassedSockets) and address; `place` tells
  // several such listeners apart. Each further call for the same listener opens the socket of the
  // next worker. A port that another process has bound is in use, even if that process would share
  // it. A Unix socket's file on which no process listens any more is replaced. Throws
  // std::runtime_error with a sentence that names the address. `prepare` is called with each new
  // socket that is not a Unix socket, before it can have a connection unless it was passed.
  ListeningSocket open(const Address& wanted, const std::string& name = {}, std::size_t place = 0,
                       const Prepare& prepare = {});

 private:
  ListeningSocket open_first(const Address& wanted, const std::string& name,
                             const Prepare& prepare);

  std::optional<ListeningSocket> take_kept(const Address& wanted, const std::string& name);
  void free_address(const Address& wanted);

  PassedSockets* passed_ = nullptr;
  KeptDescriptors* kept_ = nullptr;
  boost::asio::io_context io_;
  std::map<std::string, ListeningSocket> opened_;  // the first of each listener
};

}  // namespace backedpipe
