// EndpointCache: what the attempts at one peer learn and the next one uses. In an outage the name
// servers are away as well, and asking them can take many seconds; the peer's address is mostly
// still the one it had. Owned by the client's peer and shared by its attempts, on one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "net/stream.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

struct EndpointCache {
  // What each name meant when it was last found out.
  std::unordered_map<std::string, std::vector<boost::asio::ip::address>> addresses_of;
  // Where the last link was made; goes first.
  StreamSocket::endpoint_type last_good;
  // Where a transport came about, but no link after it; goes last, so that a host which accepts
  // everybody and says nothing does not win each race.
  StreamSocket::endpoint_type last_bad;
  // How long the last one to get through took, the transport's handshake included.
  std::optional<Duration> took;
  // Connections begun, for the statistics.
  std::uint64_t dials = 0;
};

}  // namespace backedpipe
