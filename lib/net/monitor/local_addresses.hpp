// LocalAddresses: the IP addresses of this machine's interfaces that are up, as they were at one
// moment. A value.
#pragma once

#include <optional>
#include <set>

#include <boost/asio/ip/address.hpp>

namespace backedpipe {

class LocalAddresses {
 public:
  // Nothing when the system cannot list them.
  static std::optional<LocalAddresses> now();

  // Ignores the scope of an IPv6 address.
  bool contains(const boost::asio::ip::address& address) const;

 private:
  std::set<boost::asio::ip::address> addresses_;
};

}  // namespace backedpipe
