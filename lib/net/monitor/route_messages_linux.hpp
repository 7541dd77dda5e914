// RouteMessages reads what the Linux kernel tells about interfaces, addresses and routes
// (rtnetlink(7)), and says whether it can matter to a connection. Much of it cannot: loopback, the
// kernel's own local and multicast routes, an address or interface that is said to be there once
// more (each router advertisement, each renewed lease), an IPv6 address that may not be used yet or
// any more for new connections. No I/O.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "pipe/ring_buffer.hpp"

namespace backedpipe {

class RouteMessages {
 public:
  // Interfaces that carry packets and addresses that are there already. An address is its 4 or 16
  // bytes.
  void know_running(int interface) { running_.insert(interface); }
  void know_address(std::string address) { addresses_.insert(std::move(address)); }

  // One datagram of the socket, which may hold several messages. True if anything in it matters.
  // What is cut off or not understood does not.
  bool matter(ConstBytes datagram);

 private:
  bool link_matters(std::uint16_t type, ConstBytes body);
  bool address_matters(std::uint16_t type, ConstBytes body);
  bool route_matters(ConstBytes body) const;

  std::set<int> running_;
  std::set<std::string> addresses_;
};

}  // namespace backedpipe
