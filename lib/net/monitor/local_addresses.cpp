#include "net/monitor/local_addresses.hpp"

#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>

namespace backedpipe {
namespace {

using boost::asio::ip::address;
using boost::asio::ip::address_v4;
using boost::asio::ip::address_v6;

std::optional<address> to_address(const sockaddr* raw) {
  if (raw == nullptr) return std::nullopt;
  if (raw->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, raw, sizeof in);
    return address_v4(ntohl(in.sin_addr.s_addr));
  }
  if (raw->sa_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, raw, sizeof in);
    address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return address_v6(bytes);
  }
  return std::nullopt;
}

address without_scope(const address& any) {
  return any.is_v6() ? address_v6(any.to_v6().to_bytes()) : any;
}

}  // namespace

std::optional<LocalAddresses> LocalAddresses::now() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, ::freeifaddrs);
  LocalAddresses found;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if ((entry->ifa_flags & IFF_UP) == 0) continue;
    if (const auto local = to_address(entry->ifa_addr)) found.addresses_.insert(*local);
  }
  return found;
}

bool LocalAddresses::contains(const address& wanted) const {
  return addresses_.count(without_scope(wanted)) > 0;
}

}  // namespace backedpipe
