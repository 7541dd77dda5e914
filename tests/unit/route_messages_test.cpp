#include <cstring>
#include <initializer_list>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string>
#include <sys/socket.h>
#include <vector>

#include <gtest/gtest.h>

#include "net/monitor/route_messages_linux.hpp"

namespace backedpipe::test {
namespace {

constexpr int kEthernet = 3;
constexpr int kLoopback = 1;
constexpr unsigned kRuns = IFF_UP | IFF_RUNNING;

const std::string kAddress4("\x0a\x51\x01\x02", 4);
const std::string kOther4("\x0a\x51\x01\x03", 4);
const std::string kAddress6("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);

// A message as the kernel lays it out: header, body, attributes, each at a multiple of four bytes.
class Message {
 public:
  template <typename Body>
  Message(std::uint16_t type, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    append(&header, sizeof header);
    append(&body, sizeof body);
    finish();
  }

  Message& with(std::uint16_t type, const std::string& value) {
    rtattr attribute{};
    attribute.rta_type = type;
    attribute.rta_len = static_cast<std::uint16_t>(sizeof attribute + value.size());
    append(&attribute, sizeof attribute);
    append(value.data(), value.size());
    finish();
    return *this;
  }

  Message& with(std::uint16_t type, std::uint32_t value) {
    return with(type, std::string(reinterpret_cast<const char*>(&value), sizeof value));
  }

  ConstBytes bytes() const { return bytes_; }

 private:
  void append(const void* data, std::size_t size) {
    const auto* begin = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), begin, begin + size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
  }

  void finish() {
    const auto size = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &size, sizeof size);
  }

  std::vector<std::byte> bytes_;
};

Message link(std::uint16_t type, unsigned flags, int index = kEthernet,
             unsigned char family = AF_UNSPEC) {
  ifinfomsg body{};
  body.ifi_family = family;
  body.ifi_index = index;
  body.ifi_flags = flags;
  return Message(type, body).with(IFLA_IFNAME, std::string("eth0\0", 5));
}

Message address(std::uint16_t type, const std::string& value, std::uint32_t flags = 0,
                unsigned index = kEthernet) {
  ifaddrmsg body{};
  body.ifa_family = value.size() == 4 ? AF_INET : AF_INET6;
  body.ifa_index = index;
  return Message(type, body).with(IFA_ADDRESS, value).with(IFA_FLAGS, flags);
}

Message route(std::uint16_t type, std::uint32_t interface, unsigned char kind = RTN_UNICAST,
              unsigned char table = RT_TABLE_MAIN, unsigned flags = 0) {
  rtmsg body{};
  body.rtm_family = AF_INET;
  body.rtm_type = kind;
  body.rtm_table = table;
  body.rtm_flags = flags;
  return Message(type, body).with(RTA_OIF, interface);
}

class Routes : public testing::Test {
 protected:
  bool matter(const Message& message) { return messages_.matter(message.bytes()); }

  RouteMessages messages_;
};

TEST_F(Routes, AnInterfaceMattersWhenItBeginsToRunAndWhenItStops) {
  EXPECT_FALSE(matter(link(RTM_NEWLINK, IFF_UP))) << "up, but the cable is not in";
  EXPECT_TRUE(matter(link(RTM_NEWLINK, kRuns)));
  EXPECT_FALSE(matter(link(RTM_NEWLINK, kRuns | IFF_PROMISC))) << "it ran already";
  EXPECT_TRUE(matter(link(RTM_NEWLINK, IFF_UP)));
  EXPECT_FALSE(matter(link(RTM_NEWLINK, 0)));
  EXPECT_TRUE(matter(link(RTM_NEWLINK, kRuns)));
  EXPECT_TRUE(matter(link(RTM_DELLINK, kRuns)));
  EXPECT_FALSE(matter(link(RTM_DELLINK, 0)));
}

TEST_F(Routes, AnInterfaceKnownToRunIsNoNews) {
  messages_.know_running(kEthernet);
  EXPECT_FALSE(matter(link(RTM_NEWLINK, kRuns)));
  EXPECT_TRUE(matter(link(RTM_NEWLINK, kRuns, kEthernet + 1)));
}

TEST_F(Routes, LoopbackNeverMatters) {
  EXPECT_FALSE(matter(link(RTM_NEWLINK, kRuns | IFF_LOOPBACK, kLoopback)));
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress4, 0, kLoopback)));
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kLoopback)));
}

TEST_F(Routes, WhatABridgeSaysOfItsPortsDoesNotMatter) {
  EXPECT_FALSE(matter(link(RTM_NEWLINK, kRuns, kEthernet, AF_BRIDGE)));
}

TEST_F(Routes, AnAddressMattersWhenItComesAndWhenItGoes) {
  EXPECT_TRUE(matter(address(RTM_NEWADDR, kAddress4)));
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress4))) << "its lease was renewed";
  EXPECT_TRUE(matter(address(RTM_DELADDR, kAddress4)));
  EXPECT_FALSE(matter(address(RTM_DELADDR, kAddress4)));
  EXPECT_TRUE(matter(address(RTM_NEWADDR, kAddress4)));
}

TEST_F(Routes, AnAddressKnownToBeThereIsNoNews) {
  messages_.know_address(kAddress4);
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress4)));
  EXPECT_TRUE(matter(address(RTM_NEWADDR, kOther4)));
}

TEST_F(Routes, AnIpv6AddressMattersOnceItMayBeUsed) {
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress6, IFA_F_TENTATIVE)));
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress6, IFA_F_DADFAILED)));
  EXPECT_FALSE(matter(address(RTM_NEWADDR, kAddress6, IFA_F_TEMPORARY | IFA_F_DEPRECATED)));
  EXPECT_FALSE(matter(address(RTM_DELADDR, kAddress6))) << "nobody could use it";
  EXPECT_TRUE(matter(address(RTM_NEWADDR, kAddress6, IFA_F_PERMANENT)));
}

TEST_F(Routes, AnOptimisticAddressMayBeUsed) {
  EXPECT_TRUE(matter(address(RTM_NEWADDR, kAddress6, IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)));
}

TEST_F(Routes, OfAPointToPointAddressOwnEndCounts) {
  ifaddrmsg body{};
  body.ifa_family = AF_INET;
  body.ifa_index = kEthernet;
  const auto message = [&](const std::string& own) {
    return Message(RTM_NEWADDR, body).with(IFA_ADDRESS, kOther4).with(IFA_LOCAL, own);
  };
  messages_.know_address(kOther4);
  EXPECT_TRUE(matter(message(kAddress4)));
  EXPECT_FALSE(matter(message(kAddress4)));
}

TEST_F(Routes, ARouteMattersWhenItComesAndWhenItGoes) {
  EXPECT_TRUE(matter(route(RTM_NEWROUTE, kEthernet)));
  EXPECT_TRUE(matter(route(RTM_DELROUTE, kEthernet)));
  for (const unsigned char kind : {RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW}) {
    EXPECT_TRUE(matter(route(RTM_DELROUTE, kLoopback, kind))) << int{kind};
  }
}

TEST_F(Routes, TheKernelsOwnRoutesDoNotMatter) {
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kEthernet, RTN_LOCAL, RT_TABLE_LOCAL)));
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kEthernet, RTN_UNICAST, RT_TABLE_LOCAL)));
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kEthernet, RTN_BROADCAST)));
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kEthernet, RTN_MULTICAST)));
  EXPECT_FALSE(matter(route(RTM_NEWROUTE, kEthernet, RTN_UNICAST, RT_TABLE_MAIN, RTM_F_CLONED)));
}

TEST_F(Routes, ANeighbourDoesNotMatter) {
  ndmsg body{};
  body.ndm_ifindex = kEthernet;
  EXPECT_FALSE(matter(Message(RTM_NEWNEIGH, body)));
}

TEST_F(Routes, EveryMessageOfADatagramCounts) {
  const Message first = link(RTM_NEWLINK, 0);
  const Message second = address(RTM_NEWADDR, kAddress4);
  std::vector<std::byte> both(first.bytes().begin(), first.bytes().end());
  both.insert(both.end(), second.bytes().begin(), second.bytes().end());
  EXPECT_TRUE(messages_.matter(both));
  EXPECT_FALSE(matter(second)) << "it has been seen";
}

TEST_F(Routes, WhatIsCutOffDoesNotMatter) {
  for (const Message& whole : {link(RTM_NEWLINK, kRuns), address(RTM_NEWADDR, kAddress4),
                               route(RTM_NEWROUTE, kEthernet)}) {
    for (std::size_t size = 0; size < whole.bytes().size(); ++size)
      EXPECT_FALSE(messages_.matter(whole.bytes().first(size))) << size;
  }
}

TEST_F(Routes, ALengthThatCannotBeIsTheEnd) {
  for (const std::uint32_t length : {0U, 3U, 15U, 0xffffffffU}) {
    const Message whole = link(RTM_NEWLINK, kRuns);
    std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
    std::memcpy(bytes.data(), &length, sizeof length);
    EXPECT_FALSE(messages_.matter(bytes)) << length;
  }
}

TEST_F(Routes, AnAttributeThatReachesBeyondItsMessageIsNotRead) {
  const Message whole = address(RTM_NEWADDR, kAddress4);
  std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
  const std::uint16_t length = 0xffff;
  std::memcpy(bytes.data() + sizeof(nlmsghdr) + sizeof(ifaddrmsg), &length, sizeof length);
  EXPECT_FALSE(messages_.matter(bytes));
}

}  // namespace
}  // namespace backedpipe::test
