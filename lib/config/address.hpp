// Addresses to listen on and to connect to, as the configuration and the command line spell them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/checked.hpp"

namespace backedpipe {

// Where a peer can be reached. `host` is a name, an IPv4 or an IPv6 address (without brackets,
// perhaps with %zone); it is not resolved here. Plain value.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// What to listen on or connect to: a host as above and a port, or the path of a Unix socket.
// Plain value.
struct Address {
  std::string host;
  std::uint16_t port = 0;  // 0, where it is permitted: any free port
  std::string unix_path;   // when not empty, host and port are not used

  bool is_unix() const { return !unix_path.empty(); }
  bool chosen_port() const { return !is_unix() && port == 0; }
  friend bool operator==(const Address&, const Address&) = default;
};

// "host:port", "[v6]:port" or "unix:/path", as parse_address reads it.
std::string to_string(const Endpoint& endpoint);
std::string to_string(const Address& address);

// Linux: sizeof(sockaddr_un::sun_path) less the terminating zero.
inline constexpr std::size_t kMaxUnixPathBytes = 107;

// What a setting permits beyond host:port with a port from 1 to 65535.
struct AddressRules {
  bool port_zero = false;
  bool unix_path = false;
};

inline constexpr AddressRules kListenRules{.port_zero = true, .unix_path = true};
inline constexpr AddressRules kLinkListenRules{.port_zero = true, .unix_path = false};
inline constexpr AddressRules kTargetRules{.port_zero = false, .unix_path = true};

// IPv6 addresses need brackets; Unix paths are absolute. Errors are phrases for Checked.
Checked<Address> parse_address(std::string_view text, AddressRules rules);

// host:port of a peer: port 1 to 65535, no Unix path.
Checked<Endpoint> parse_endpoint(std::string_view text);

namespace config {

// Equal for two spellings of one address ("[::1]:80" and "[0:0::1]:80", "A:1" and "a:1").
std::string canonical(const Address& address);

}  // namespace config
}  // namespace backedpipe
