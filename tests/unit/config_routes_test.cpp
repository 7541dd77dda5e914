// Peers, tunnels, accept and services: what they need and how they refer to each other.

#include <string>

#include <gtest/gtest.h>

#include "config/names.hpp"
#include "config_support.hpp"

namespace backedpipe {
namespace {

TEST(Config, WantsTheTunnelsPeerToExist) {
  const std::string tunnel =
      R"("tunnels": [{"name": "t", "listen": "h:0", "peer": "ofice", "service": "s"}])";
  expect_error(parse("{" + tunnel + "}"),
               "/tunnels/0/peer: found \"ofice\", expected a name from \"peers\"; there is none");
  const std::string office = R"("peers": {"office": {"endpoints": ["h:1"], "security": "none"}})";
  expect_error(parse("{" + tunnel + "," + office + "}"), "did you mean \"office\"?");
  const std::string home = R"("peers": {"home": {"endpoints": ["h:1"], "security": "none"}})";
  expect_error(parse("{" + tunnel + "," + home + "}"), "; known: \"home\"");
}

TEST(Config, DoesNotComplainTwiceAboutAPeerThatIsWrong) {
  const auto result = parse(R"({"peers": {"p": 7},
    "tunnels": [{"name": "t", "listen": "h:0", "peer": "p", "service": "s"}]})");
  EXPECT_EQ(errors_of(result), "/peers/p: found a number (7), expected an object: { ... }");
}

TEST(Config, WantsAllowedServicesToExist) {
  expect_error(
      parse_accept(R"({"listen": "h:1", "key_file": "k", "allow": {"a": ["shh"]}})"),
      "/accept/0/allow/a/0: found \"shh\", expected a name from \"services\"; did you mean "
      "\"ssh\"?");
}

TEST(Config, WantsServicesToOffer) {
  expect_error(parse(R"({"accept": [{"listen": "h:1", "security": "none"}]})"),
               "/accept: found \"accept\" without \"services\"");
}

TEST(Config, WantsSomethingToDo) {
  expect_error(parse("{}"), "there is nothing to do");
  expect_error(parse(R"({"tunnels": [], "accept": []})"), "there is nothing to do");
  expect_error(parse("{" + std::string(kServices) + "}"), "there is nothing to do");
}

TEST(Config, TiesKeyFilesToSecurity) {
  expect_error(parse_accept(R"({"listen": "h:1", "security": "psk", "allow": {"a": ["ssh"]}})"),
               "/accept/0: found no \"key_file\"");
  expect_error(parse_accept(R"({"listen": "h:1", "security": "none", "key_file": "k"})"),
               "/accept/0/key_file: found a \"key_file\", expected none");
  expect_error(parse_accept(R"({"listen": "h:1", "security": "ssl"})"),
               "/accept/0/security: found \"ssl\", expected one of \"psk\", \"tls\", \"none\"");
  expect_error(parse_accept(R"({"listen": "h:1", "key_file": "", "allow": {"a": ["ssh"]}})"),
               "/accept/0/key_file: found \"\", expected the path of a file");
}

constexpr std::string_view kTlsFiles =
    R"("security": "tls", "ca_file": "ca.pem", "cert_file": "own.pem", "key_file": "/k/own.key")";

std::string parse_peer_errors(const std::string& members) {
  return errors_of(parse(R"({"peers": {"p": {"endpoints": ["h:1"], )" + members + R"(}},
    "tunnels": [{"name": "t", "listen": "h:0", "peer": "p", "service": "s"}]})"));
}

TEST(Config, ReadsTheFilesAndNamesOfCertificates) {
  const std::string files(kTlsFiles);
  const auto settings = parse(R"({"peers": {
      "a": {"endpoints": ["h:1"], )" +
                              files + R"(},
      "b": {"endpoints": ["h:1"], )" +
                              files + R"(, "server_name": "gw.example.org"},
      "c": {"endpoints": ["h:1"], )" +
                              files + R"(, "allowed_names": ["a.example", "::1"]}},
    "accept": [{"listen": "h:2", )" +
                              files + R"(,
      "allow": {"laptop.example.org": ["ssh"], "spiffe://example.org/nas": ["*"]}}],
    )" + std::string(kServices) +
                              "}");
  ASSERT_TRUE(settings) << to_string(settings.error());
  const PeerSettings& peer = settings->peers[0];
  EXPECT_EQ(peer.security, Security::tls);
  EXPECT_EQ(peer.certificates.ca, "/etc/backedpipd/ca.pem");
  EXPECT_EQ(peer.certificates.certificate, "/etc/backedpipd/own.pem");
  EXPECT_EQ(peer.certificates.key, "/k/own.key");
  EXPECT_EQ(peer.key_file, "");
  EXPECT_TRUE(peer.allowed_names.empty());
  EXPECT_EQ(settings->peers[1].allowed_names, (std::vector<std::string>{"gw.example.org"}));
  EXPECT_EQ(settings->peers[2].allowed_names, (std::vector<std::string>{"a.example", "::1"}));
  const AcceptSettings& accept = settings->accept[0];
  EXPECT_EQ(accept.certificates.ca, "/etc/backedpipd/ca.pem");
  EXPECT_TRUE(accept.allows("spiffe://example.org/nas", "ssh"));
  EXPECT_FALSE(accept.allows("spiffe://example.org/other", "ssh"));
}

TEST(Config, TiesCertificateSettingsToSecurity) {
  EXPECT_EQ(parse_peer_errors(R"("security": "tls", "cert_file": "c", "key_file": "k")"),
            "/peers/p: found no \"ca_file\", expected the path of the certificates of the CAs to "
            "trust: \"security\" \"tls\" needs one");
  EXPECT_EQ(parse_peer_errors(R"("key_file": "k", "ca_file": "ca.pem")"),
            "/peers/p/ca_file: found a \"ca_file\", expected none: with \"security\" \"psk\" it "
            "would have no effect");
  EXPECT_EQ(parse_peer_errors(R"("key_file": "k", "server_name": "h")"),
            "/peers/p/server_name: found a \"server_name\", expected none: with \"security\" "
            "\"psk\" it would have no effect");
  EXPECT_EQ(parse_peer_errors(R"("security": "tsl", "server_name": "h")"),
            "/peers/p/security: found \"tsl\", expected one of \"psk\", \"tls\", \"none\"; did "
            "you mean \"tls\"?");
  expect_error(parse_accept("{\"listen\": \"h:1\", " + std::string(kTlsFiles) + "}"),
               "/accept/0: found no \"allow\"");
}

TEST(Config, RefusesNamesThatNoCertificateIsCheckedFor) {
  const std::string files(kTlsFiles);
  for (const std::string name : {"*.example.org", "", "a b", "h:1", "1.2.3.400"}) {
    EXPECT_EQ(parse_peer_errors(files + R"(, "server_name": ")" + name + "\""),
              "/peers/p/server_name: found \"" + name +
                  "\", expected a host name or an IP address, without wildcards (a certificate may "
                  "have them)");
  }
  EXPECT_NE(parse_peer_errors(files + R"(, "allowed_names": [])").find("found an empty list"),
            std::string::npos);
  EXPECT_NE(parse_peer_errors(files + R"(, "server_name": "a", "allowed_names": ["a"])")
                .find("found both"),
            std::string::npos);
  expect_error(
      parse_accept("{\"listen\": \"h:1\", " + files + R"(, "allow": {"*.example.org": ["ssh"]}})"),
      "found \"*.example.org\", expected a name as in the client's certificate");
}

TEST(Config, AllowsByIdentityOrToAll) {
  const auto settings = parse_accept(R"({"listen": "h:1", "key_file": "k",
    "allow": {"a": ["ssh"], "b": ["*"], "*": ["ssh"]}},
    {"listen": "h:2", "security": "none"},
    {"listen": "h:3", "security": "none", "allow": {"*": ["ssh"]}})");
  ASSERT_TRUE(settings) << to_string(settings.error());
  const AcceptSettings& keyed = settings->accept[0];
  EXPECT_TRUE(keyed.allows("a", "ssh"));
  EXPECT_FALSE(keyed.allows("a", "db"));
  EXPECT_TRUE(keyed.allows("b", "db"));
  EXPECT_TRUE(keyed.allows("c", "ssh"));
  EXPECT_FALSE(keyed.allows("c", "db"));
  EXPECT_TRUE(settings->accept[1].allows("", "ssh"));
  EXPECT_TRUE(settings->accept[2].allows("", "ssh"));
  EXPECT_FALSE(settings->accept[2].allows("", "db"));
}

TEST(Config, AllowsNothingWhenKeysAreRequiredAndNobodyIsListed) {
  AcceptSettings accept;
  EXPECT_FALSE(accept.allows("laptop", "ssh"));
  accept.security = Security::none;
  EXPECT_TRUE(accept.allows("laptop", "ssh"));
  // A claimed identity proves nothing without a key.
  accept.allow["laptop"] = {"ssh"};
  EXPECT_FALSE(accept.allows("laptop", "ssh"));
}

TEST(Config, RefusesIdentitiesThatNobodyCanProve) {
  expect_error(parse_accept(R"({"listen": "h:1", "security": "none", "allow": {"a": ["ssh"]}})"),
               "/accept/0/allow/a: found \"a\", expected \"*\"");
}

TEST(Config, RefusesEmptyLists) {
  expect_error(parse_accept(R"({"listen": "h:1", "key_file": "k", "allow": {}})"),
               "found an empty object");
  expect_error(parse_accept(R"({"listen": "h:1", "key_file": "k", "allow": {"a": []}})"),
               "found an empty list");
  expect_error(parse(R"({"peers": {"p": {"endpoints": []}}, "tunnels": []})"),
               "found a list of 0, expected 1 to 16");
  expect_error(parse(R"({"peers": {"p": {"endpoints": ["h:1", "h:1"]}}})"),
               "expected every endpoint once");
}

TEST(Config, WantsNamesToBeShortAndPlain) {
  const std::string long_name(65, 'n');
  for (const std::string& name : {std::string(), std::string("a b"), std::string("ä"),
                                  std::string("a/b"), std::string("a@b"), long_name}) {
    const std::string peer = "{\"peers\": {\"" + name + "\": {}}, \"tunnels\": []}";
    expect_error(parse(peer), "expected a name: 1 to 64 letters");
    const std::string service = "{\"services\": {\"" + name + "\": {}}, \"tunnels\": []}";
    expect_error(parse(service), "expected a name: 1 to 64 letters");
    const std::string tunnel =
        "{\"tunnels\": [{\"name\": \"" + name + "\", \"service\": \"" + name + "\"}]}";
    expect_error(parse(tunnel), "/tunnels/0/name: ");
    expect_error(parse(tunnel), "/tunnels/0/service: ");
  }
  EXPECT_TRUE(is_valid_name(std::string(64, 'n')));
  EXPECT_TRUE(is_valid_name("A.b_c-9"));
  EXPECT_TRUE(is_valid_identity("a@b"));
}

TEST(Config, RefusesTunnelsOfOneName) {
  expect_error(parse(R"({"tunnels": [{"name": "t"}, {"name": "t"}]})"),
               "/tunnels/1/name: found \"t\", expected a name that no other tunnel has");
}

}  // namespace
}  // namespace backedpipe
