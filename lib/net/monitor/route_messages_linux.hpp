// RouteMessages reads the Linux kernel's messages about interfaces, addresses and routes
// (rtnetlink(7)), and decides whether they can matter to a connection. These cannot:
//   - loopback,
//   - the kernel's own local and multicast routes,
//   - an interface or address that is known already (it is reported again with each router
//     advertisement and each renewed lease),
//   - an IPv6 address that new connections may not use yet, or no longer.
// No I/O.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "pipe/ring_buffer.hpp"

namespace backedpipe {

class RouteMessages {
 public:
  // Interfaces that carry packets, and addresses that exist already. An address is its 4 or 16
  // bytes.
  void know_running(int interface) { running_.insert(interface); }
  void know_address(std::string address) { addresses_.insert(std::move(address)); }

  // One datagram of the socket, which may hold several messages. True if any of them matters. A
  // message that is cut off or not understood does not.
  bool matter(ConstBytes datagram);

 private:
  bool link_matters(std::uint16_t type, ConstBytes body);
  bool address_matters(std::uint16_t type, ConstBytes body);
  bool route_matters(ConstBytes body) const;

  std::set<int> running_;
  std::set<std::string> addresses_;
};

}  // namespace backedpipe
