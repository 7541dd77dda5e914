// Addresses: what is read, what is refused, and why.

#include "config/address.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

TEST(Address, ReadsHostsPortsAndUnixPaths) {
  const auto parsed = [](std::string_view text) {
    auto address = parse_address(text, kListenRules);
    EXPECT_TRUE(address) << text << ": " << (address ? "" : address.error());
    return address ? *address : Address{};
  };
  EXPECT_EQ(parsed("gw.example.org:7700"), (Address{"gw.example.org", 7700, ""}));
  EXPECT_EQ(parsed("10.0.0.1:1"), (Address{"10.0.0.1", 1, ""}));
  EXPECT_EQ(parsed("[::]:65535"), (Address{"::", 65535, ""}));
  EXPECT_EQ(parsed("[fe80::1%eth0]:7700"), (Address{"fe80::1%eth0", 7700, ""}));
  EXPECT_EQ(parsed("[::ffff:10.0.0.1]:7700"), (Address{"::ffff:10.0.0.1", 7700, ""}));
  EXPECT_EQ(parsed("unix:/run/x.sock"), (Address{"", 0, "/run/x.sock"}));
  EXPECT_EQ(parsed("localhost:0").port, 0);
}

TEST(Address, PrintsWhatItReads) {
  for (const char* text : {"a:1", "10.0.0.1:22", "[::1]:7700", "unix:/run/x", "[fe80::1%e]:7"}) {
    EXPECT_EQ(to_string(*parse_address(text, kTargetRules)), text);
  }
  EXPECT_EQ(to_string(Endpoint{"::1", 80}), "[::1]:80");
}

TEST(Address, SaysWhatIsWrong) {
  const auto error = [](const std::string& text, AddressRules rules = kTargetRules) {
    const auto address = parse_address(text, rules);
    return address ? "accepted " + text : address.error();
  };
  const auto expect = [](const std::string& message, std::string_view part) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks: " << part;
  };
  expect(error(""), "port is missing");
  expect(error("host"), "port is missing");
  expect(error("[::1]"), "port is missing");
  expect(error("[::1]x:1"), "port is missing");
  expect(error("[::1:7700"), "closing bracket");
  expect(error("::1:7700"), "needs brackets");
  expect(error("a:b:1"), "needs brackets");
  expect(error("[host]:1"), "not an IPv6 address");
  expect(error("[]:1"), "not an IPv6 address");
  expect(error("[::1%]:1"), "not an IPv6 address");
  expect(error(":7700"), "host is missing");
  expect(error(":7700", kListenRules), "all addresses are \"[::]\"");
  expect(error("host:"), "a port is a number from 1 to 65535");
  expect(error("host:0"), "a port is a number from 1 to 65535");
  expect(error("host:65536"), "a port is a number from 1 to 65535");
  expect(error("host:-1"), "a port is a number from 1 to 65535");
  expect(error("host:+1"), "a port is a number from 1 to 65535");
  expect(error("host:22x"), "a port is a number from 1 to 65535");
  expect(error("host:ssh"), "a port is a number from 1 to 65535");
  expect(error("10.0.0.256:1"), "not a valid IPv4 address");
  expect(error("10.0.1:1"), "not a valid IPv4 address");
  expect(error("010.0.0.1:1"), "not a valid IPv4 address");
  expect(error("a b:1"), "only letters, digits");
  expect(error("http://host:1"), "needs brackets");
  expect(error("a..b:1"), "empty part");
  expect(error(std::string(254, 'a') + ":1"), "at most 253");
  expect(error("unix:"), "starts with '/'");
  expect(error("unix:x.sock"), "starts with '/'");
  expect(error("unix:/" + std::string(107, 'a')), "at most 107 bytes");
  expect(error("unix:/x", kLinkListenRules), "not possible here");
}

TEST(Address, KnowsTheTextFormsOfIpv6) {
  const auto valid = [](const std::string& host) {
    return parse_address("[" + host + "]:1", kTargetRules).ok();
  };
  for (const char* host : {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1::8", "1:2:3:4:5:6:7::",
                           "::2:3:4:5:6:7:8", "FFFF::", "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4"}) {
    EXPECT_TRUE(valid(host)) << host;
  }
  for (const char* host :
       {":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",
        "12345::", "g::", "1:2:3:4:5:6:7:8::", "::1:", ":1::", "1.2.3.4", "1.2.3.4::", "::1.2.3",
        "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "-1::", "::1%", "::1%verylonginterfacename"}) {
    EXPECT_FALSE(valid(host)) << host;
  }
}

}  // namespace
}  // namespace backedpipe
