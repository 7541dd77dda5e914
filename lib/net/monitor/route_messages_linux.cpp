#include "net/monitor/route_messages_linux.hpp"

#include <algorithm>
#include <cstring>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <optional>
#include <sys/socket.h>

namespace backedpipe {
namespace {

constexpr int kLoopbackInterface = 1;  // in every network namespace

std::size_t aligned(std::size_t bytes) {
  return (bytes + 3) & ~std::size_t{3};
}

// Takes a structure off the front; what follows begins at a multiple of four bytes.
template <typename T>
std::optional<T> take(ConstBytes& bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes = bytes.subspan(std::min(aligned(sizeof value), bytes.size()));
  return value;
}

// The value of an attribute, or nothing.
std::optional<ConstBytes> find_attribute(ConstBytes attributes, std::uint16_t type) {
  while (true) {
    const ConstBytes whole = attributes;
    const auto header = take<rtattr>(attributes);
    if (!header || header->rta_len < sizeof *header || header->rta_len > whole.size()) {
      return std::nullopt;
    }
    if (header->rta_type == type) {
      return whole.subspan(sizeof *header, header->rta_len - sizeof *header);
    }
    attributes = whole.subspan(std::min(aligned(header->rta_len), whole.size()));
  }
}

template <typename T>
std::optional<T> find_value(ConstBytes attributes, std::uint16_t type) {
  const auto found = find_attribute(attributes, type);
  if (!found || found->size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, found->data(), sizeof value);
  return value;
}

}  // namespace

bool RouteMessages::matter(ConstBytes datagram) {
  bool any = false;
  while (true) {
    const ConstBytes whole = datagram;
    const auto header = take<nlmsghdr>(datagram);
    if (!header || header->nlmsg_len < sizeof *header || header->nlmsg_len > whole.size()) {
      return any;
    }
    const ConstBytes body = whole.subspan(sizeof *header, header->nlmsg_len - sizeof *header);
    switch (header->nlmsg_type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        any |= link_matters(header->nlmsg_type, body);
        break;
      case RTM_NEWADDR:
      case RTM_DELADDR:
        any |= address_matters(header->nlmsg_type, body);
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        any |= route_matters(body);
        break;
      default:
        break;
    }
    datagram = whole.subspan(std::min(aligned(header->nlmsg_len), whole.size()));
  }
}

bool RouteMessages::link_matters(std::uint16_t type, ConstBytes body) {
  const auto link = take<ifinfomsg>(body);
  // A bridge reports its ports in the same messages, under its own family.
  if (!link || link->ifi_family != AF_UNSPEC || (link->ifi_flags & IFF_LOOPBACK) != 0) return false;
  const bool runs = type == RTM_NEWLINK && (link->ifi_flags & IFF_UP) != 0 &&
                    (link->ifi_flags & IFF_RUNNING) != 0;
  return runs ? running_.insert(link->ifi_index).second : running_.erase(link->ifi_index) > 0;
}

bool RouteMessages::address_matters(std::uint16_t type, ConstBytes body) {
  const auto header = take<ifaddrmsg>(body);
  if (!header || header->ifa_index == kLoopbackInterface) return false;
  // On a point-to-point interface IFA_ADDRESS is the other end.
  auto address = find_attribute(body, IFA_LOCAL);
  if (!address) address = find_attribute(body, IFA_ADDRESS);
  if (!address) return false;
  const std::string bytes(reinterpret_cast<const char*>(address->data()), address->size());
  if (type == RTM_DELADDR) return addresses_.erase(bytes) > 0;
  const std::uint32_t flags =
      find_value<std::uint32_t>(body, IFA_FLAGS).value_or(header->ifa_flags);
  const bool tentative = (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
  if (tentative || (flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)) != 0) return false;
  return addresses_.insert(bytes).second;
}

bool RouteMessages::route_matters(ConstBytes body) const {
  const auto route = take<rtmsg>(body);
  if (!route || (route->rtm_flags & RTM_F_CLONED) != 0 || route->rtm_table == RT_TABLE_LOCAL) {
    return false;
  }
  switch (route->rtm_type) {
    case RTN_UNICAST:
      return find_value<int>(body, RTA_OIF) != kLoopbackInterface;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
    case RTN_THROW:
      return true;
    default:
      return false;
  }
}

}  // namespace backedpipe
