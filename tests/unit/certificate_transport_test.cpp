// Links between two sides with certificates: which peers are accepted, under which identity, and
// what both sides say when one is not.

#include <array>
#include <csignal>
#include <memory>
#include <regex>
#include <string>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "certificate_support.hpp"
#include "net/link/tls/certificate_context.hpp"
#include "net/link/tls/link_security.hpp"

namespace backedpipe {
namespace {

constexpr long kDay = 24L * 60 * 60;

class CertificateTransport : public testing::Test {
 protected:
  CertificateTransport() { std::signal(SIGPIPE, SIG_IGN); }

  // A client's side, as the settings of a peer make it.
  LinkSecurity client(const CertificateForm& form, const TestIssuer& issuer,
                      const TestIssuer& trusted) {
    PeerSettings peer;
    peer.security = Security::tls;
    peer.endpoints = {{"gw.example.org", 7700}};
    peer.allowed_names = expected_names_;
    peer.certificates = folder_.files("client", issue(form, &issuer), trusted);
    return load_security(peer);
  }
  LinkSecurity client(const CertificateForm& form) { return client(form, ca_, ca_); }
  LinkSecurity client() { return client(laptop()); }

  LinkSecurity server(const CertificateForm& form, const TestIssuer& issuer,
                      const TestIssuer& trusted) {
    AcceptSettings accept;
    accept.security = Security::tls;
    accept.certificates = folder_.files("server", issue(form, &issuer), trusted);
    return load_security(accept);
  }
  LinkSecurity server(const CertificateForm& form) { return server(form, ca_, ca_); }
  LinkSecurity server() { return server(CertificateForm{}); }

  static CertificateForm laptop() {
    return {.names = "DNS:laptop.example.org", .usage = "clientAuth"};
  }

  void connect(const TransportFactory& clients, const TransportFactory& servers) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    const StreamSocket::protocol_type protocol(AF_UNIX, 0);
    client_ = clients.wrap(StreamSocket(io_, protocol, pair[0]));
    server_ = servers.wrap(StreamSocket(io_, protocol, pair[1]));
  }

  // Lets both sides take steps until one of them fails; true when both have finished.
  bool shake_hands() {
    IoResult client;
    IoResult server;
    for (int step = 0; step < 10; ++step) {
      client = client_->handshake();
      server = server_->handshake();
      if (client.status == IoResult::Status::ok && server.status == IoResult::Status::ok)
        return true;
      if (client.status == IoResult::Status::failed || server.status == IoResult::Status::failed)
        break;
    }
    if (client.status == IoResult::Status::want_read) client = client_->handshake();
    if (client.status == IoResult::Status::ok) {
      // A client is done before the server has judged its certificate: the verdict comes later.
      std::array<std::byte, 16> buffer;
      EXPECT_EQ(client_->read(buffer).status, IoResult::Status::failed);
    }
    return false;
  }

  bool links(const LinkSecurity& clients, const LinkSecurity& servers) {
    connect(*clients.factory, *servers.factory);
    return shake_hands();
  }

  // Both refuse to go on, and each says why; times are left out.
  void expect_refusal(const LinkSecurity& clients, const LinkSecurity& servers,
                      const std::string& client_says, const std::string& server_says) {
    EXPECT_FALSE(links(clients, servers));
    EXPECT_TRUE(client_->rejected());
    EXPECT_TRUE(server_->rejected());
    EXPECT_EQ(server_->identity(), "");
    const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)");
    EXPECT_EQ(std::regex_replace(client_->failure(), time, "TIME"), client_says);
    EXPECT_EQ(std::regex_replace(server_->failure(), time, "TIME"), server_says);
  }

  boost::asio::io_context io_;
  CertificateFolder folder_;
  TestIssuer ca_ = make_ca("Our CA");
  std::vector<std::string> expected_names_;
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(CertificateTransport, TheServerKnowsTheClientByItsCertificate) {
  const LinkSecurity clients = client();
  const LinkSecurity servers = server();
  connect(*clients.factory, *servers.factory);
  EXPECT_EQ(server_->identity(), "") << "nothing is proved before the handshake";
  ASSERT_TRUE(shake_hands());
  EXPECT_EQ(server_->identity(), "laptop.example.org");
  EXPECT_EQ(clients.identity, "laptop.example.org") << "the client knows what it will be called";
}

TEST_F(CertificateTransport, BytesTravelBothWays) {
  ASSERT_TRUE(links(client(), server()));
  const std::array<std::byte, 3> sent{std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 8> buffer;
  for (auto [from, to] :
       {std::pair{client_.get(), server_.get()}, {server_.get(), client_.get()}}) {
    EXPECT_EQ(from->write(std::array<ConstBytes, 1>{ConstBytes(sent)}).bytes, 3U);
    EXPECT_EQ(to->read(buffer).bytes, 3U);
    EXPECT_EQ(buffer[2], std::byte{3});
  }
}

TEST_F(CertificateTransport, ANameOfAnotherKindIsTheIdentityWhereThereIsNoDnsName) {
  const auto identity = [this](const std::string& names) {
    EXPECT_TRUE(links(client({.names = names, .usage = "clientAuth"}), server()));
    return std::string(server_->identity());
  };
  EXPECT_EQ(identity("email:me@example.org,URI:spiffe://x/a,DNS:b.example,DNS:a.example"),
            "b.example");
  EXPECT_EQ(identity("email:me@example.org,URI:spiffe://x/a"), "spiffe://x/a");
  EXPECT_EQ(identity("IP:192.0.2.1,email:me@example.org"), "me@example.org");
}

TEST_F(CertificateTransport, ACertificateWithoutANameIsNobodys) {
  // Neither a common name alone, nor a wildcard, nor an address makes an identity.
  for (const std::string names : {"", "DNS:*.example.org", "IP:192.0.2.1"}) {
    const CertificateForm form{.names = names, .usage = "clientAuth"};
    EXPECT_THROW(client(form), std::runtime_error) << names;
    // The same on the wire, from a client that does not check its own certificate.
    const auto credentials = load_credentials(
        folder_.files("nameless", issue({.names = names, .usage = "clientAuth,serverAuth"}, &ca_),
                      ca_),
        CertificateUse::server);
    if (!credentials) continue;  // a server's own check has found the same
    const LinkSecurity nameless{
        make_certificate_client_factory(*credentials, "ca", {"gw.example.org"}), ""};
    EXPECT_FALSE(links(nameless, server()));
    EXPECT_NE(server_->failure().find("names no client"), std::string::npos) << server_->failure();
    EXPECT_EQ(client_->failure(),
              "the server does not accept our certificate: it is not valid yet, or names nobody "
              "that is expected");
  }
}

// --- what is wrong with a certificate

TEST_F(CertificateTransport, AnExpiredServerIsRefusedAndLearnsWhy) {
  expect_refusal(client(), server({.from_seconds = -2 * kDay, .until_seconds = -kDay}),
                 "the certificate of gw.example.org expired on TIME",
                 "the client says that our certificate has expired");
}

TEST_F(CertificateTransport, AnExpiredClientIsRefusedAndLearnsWhy) {
  CertificateForm form = laptop();
  form.from_seconds = -2 * kDay;
  form.until_seconds = -kDay;
  expect_refusal(client(form), server(), "the server says that our certificate has expired",
                 "the certificate of laptop.example.org expired on TIME");
}

TEST_F(CertificateTransport, TheTimeOfExpiryIsTold) {
  // 2001-09-09T01:46:40Z is 10^9 seconds after 1970.
  const long since = 1'000'000'000 - static_cast<long>(std::time(nullptr));
  expect_refusal(client(), server({.from_seconds = since - kDay, .until_seconds = since}),
                 "the certificate of gw.example.org expired on TIME",
                 "the client says that our certificate has expired");
  EXPECT_NE(client_->failure().find("2001-09-09T01:46:40Z"), std::string::npos)
      << client_->failure();
}

TEST_F(CertificateTransport, ACertificateFromTheFutureIsRefused) {
  expect_refusal(
      client(), server({.from_seconds = kDay}),
      "the certificate of gw.example.org is not valid before TIME; are the clocks right?",
      "the client does not accept our certificate: it is not valid yet, or names nobody "
      "that is expected");
}

TEST_F(CertificateTransport, ACertificateOfAnotherCaIsRefusedOnBothSides) {
  const TestIssuer stranger = make_ca("Another CA");
  expect_refusal(client(laptop(), stranger, ca_), server(),
                 "the server does not know the CA of our certificate",
                 "the certificate of laptop.example.org comes from a CA that is not in \"" +
                     folder_.path("server.ca") + "\": \"CN = Another CA\"");
  expect_refusal(client(), server({}, stranger, ca_),
                 "the certificate of gw.example.org comes from a CA that is not in \"" +
                     folder_.path("client.ca") + "\": \"CN = Another CA\"",
                 "the client does not know the CA of our certificate");
}

TEST_F(CertificateTransport, ACaThatOnlyHasTheNameOfOursIsRefused) {
  const TestIssuer impostor = make_ca("Our CA");
  EXPECT_FALSE(links(client(), server({}, impostor, ca_)));
  EXPECT_NE(client_->failure().find("comes from a CA that is not in"), std::string::npos)
      << client_->failure();
}

TEST_F(CertificateTransport, NobodyUsesACertificateOfTheOtherRole) {
  const auto as_server =
      load_credentials(folder_.files("x", issue({}, &ca_), ca_), CertificateUse::server);
  const auto as_client = load_credentials(
      folder_.files("y", issue({.usage = "clientAuth"}, &ca_), ca_), CertificateUse::client);
  ASSERT_TRUE(as_server && as_client);
  const LinkSecurity posing_server{make_certificate_server_factory(*as_client, "ca"), ""};
  expect_refusal(
      client(), posing_server,
      "the certificate of gw.example.org is not meant for servers (extendedKeyUsage serverAuth)",
      "the client says that our certificate is not meant for this side");
  const LinkSecurity posing_client{
      make_certificate_client_factory(*as_server, "ca", {"gw.example.org"}), ""};
  expect_refusal(
      posing_client, server(), "the server says that our certificate is not meant for this side",
      "the certificate of gw.example.org is not meant for clients (extendedKeyUsage clientAuth)");
}

TEST_F(CertificateTransport, ACertificateThatDoesNotSayItsUseIsRefused) {
  // Our own side does not start with such a certificate, so it is put together by hand.
  const auto anything = [this] {
    TestIssuer owner = issue({.usage = ""}, &ca_);
    Credentials credentials;
    X509_up_ref(ca_.certificate.get());
    credentials.cas.emplace_back(ca_.certificate.get());
    credentials.chain.push_back(std::move(owner.certificate));
    credentials.key = std::move(owner.key);
    return credentials;
  };
  expect_refusal(
      client(), {make_certificate_server_factory(anything(), "ca"), ""},
      "the certificate of gw.example.org is not meant for servers (extendedKeyUsage serverAuth)",
      "the client says that our certificate is not meant for this side");
  expect_refusal(
      {make_certificate_client_factory(anything(), "ca", {"gw.example.org"}), ""}, server(),
      "the server says that our certificate is not meant for this side",
      "the certificate of gw.example.org is not meant for clients (extendedKeyUsage clientAuth)");
}

TEST_F(CertificateTransport, AClientWithoutACertificateIsRefused) {
  // A bare OpenSSL client, because ours cannot be without a certificate.
  const LinkSecurity servers = server();
  connect(*client().factory, *servers.factory);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&SSL_free)> bare(SSL_new(context.get()), &SSL_free);
  SSL_set_fd(bare.get(), client_->socket().native_handle());
  SSL_set_connect_state(bare.get());
  IoResult result;
  for (int step = 0; step < 10 && result.status != IoResult::Status::failed; ++step) {
    SSL_do_handshake(bare.get());
    result = server_->handshake();
  }
  EXPECT_EQ(result.status, IoResult::Status::failed);
  EXPECT_TRUE(server_->rejected());
  EXPECT_EQ(server_->failure(), "the client sent no certificate");
}

// --- whom the server's certificate must be for

TEST_F(CertificateTransport, AServerOfAnotherNameIsRefused) {
  expect_refusal(
      client(), server({.names = "DNS:a.example.org,DNS:b.example.org,IP:192.0.2.1"}),
      "the server's certificate is for a.example.org, b.example.org, 192.0.2.1; expected "
      "gw.example.org",
      "the client does not accept our certificate: it is not valid yet, or names nobody "
      "that is expected");
}

TEST_F(CertificateTransport, TheCommonNameOfAServerMeansNothing) {
  // This holds even without a DNS name that would contradict it.
  EXPECT_FALSE(links(client(), server({.common_name = "gw.example.org", .names = "IP:192.0.2.1"})));
  EXPECT_EQ(client_->failure(),
            "the server's certificate is for 192.0.2.1; expected gw.example.org");
}

TEST_F(CertificateTransport, AnyOfTheAllowedNamesWillDo) {
  expected_names_ = {"a.example.org", "b.example.org"};
  EXPECT_TRUE(links(client(), server({.names = "DNS:b.example.org"})));
  EXPECT_FALSE(links(client(), server({.names = "DNS:gw.example.org"})))
      << "the endpoint's host is not among them";
  EXPECT_EQ(client_->failure(),
            "the server's certificate is for gw.example.org; expected a.example.org or "
            "b.example.org");
}

TEST_F(CertificateTransport, AWildcardStandsForOneWholeLabel) {
  const auto accepts = [this](const std::string& in_certificate, const std::string& expected) {
    expected_names_ = {expected};
    return links(client(), server({.names = "DNS:" + in_certificate}));
  };
  EXPECT_TRUE(accepts("*.example.org", "gw.example.org"));
  EXPECT_TRUE(accepts("*.example.org", "GW.Example.ORG"));
  EXPECT_FALSE(accepts("*.example.org", "a.gw.example.org"));
  EXPECT_FALSE(accepts("*.example.org", "example.org"));
  EXPECT_FALSE(accepts("g*.example.org", "gw.example.org"));
  EXPECT_FALSE(accepts("gw.*.org", "gw.example.org"));
}

TEST_F(CertificateTransport, AnAddressIsLookedForAmongAddresses) {
  const auto accepts = [this](const std::string& in_certificate, const std::string& expected) {
    expected_names_ = {expected};
    return links(client(), server({.names = in_certificate}));
  };
  EXPECT_TRUE(accepts("IP:192.0.2.1", "192.0.2.1"));
  EXPECT_TRUE(accepts("IP:2001:db8::7", "2001:db8:0::7"));
  EXPECT_FALSE(accepts("IP:192.0.2.1", "192.0.2.2"));
  EXPECT_FALSE(accepts("DNS:192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(accepts("DNS:*.0.2.1", "192.0.2.1"));
}

// --- CAs

TEST_F(CertificateTransport, ACertificateBelowAnIntermediateNeedsItInItsFile) {
  const TestIssuer middle = make_ca("Middle CA", &ca_);
  EXPECT_FALSE(links(client(), server({}, middle, ca_)));
  AcceptSettings accept;
  accept.security = Security::tls;
  accept.certificates = folder_.files("server", issue({}, &middle), ca_);
  folder_.write("server.pem", middle);
  EXPECT_TRUE(links(client(), load_security(accept)));
}

TEST_F(CertificateTransport, AnIntermediateAloneCanBeTrusted) {
  const TestIssuer middle = make_ca("Middle CA", &ca_);
  EXPECT_TRUE(links(client(laptop(), ca_, middle), server({}, middle, ca_)));
  EXPECT_FALSE(links(client(laptop(), ca_, middle), server()))
      << "the CA above it is not in the file";
}

// --- links that follow one another

TEST_F(CertificateTransport, FilesThatAreReadAgainHoldForNewLinksOnly) {
  LinkSecurity clients = client();
  LinkSecurity servers = server();
  connect(*clients.factory, *servers.factory);
  client_->handshake();
  // A reload in the middle of the handshake: it goes on with the old certificate.
  clients = client({.names = "DNS:desktop.example.org", .usage = "clientAuth"});
  servers = server({.names = "DNS:elsewhere.example.org"});
  ASSERT_TRUE(shake_hands());
  EXPECT_EQ(server_->identity(), "laptop.example.org");
  EXPECT_EQ(clients.identity, "desktop.example.org");
  EXPECT_FALSE(links(clients, servers));
  servers = server();
  ASSERT_TRUE(links(clients, servers));
  EXPECT_EQ(server_->identity(), "desktop.example.org");
}

// Resuming a TLS session would carry over an identity without proving it again.
TEST_F(CertificateTransport, AServerGivesOutNothingToResumeATlsSessionWith) {
  const LinkSecurity servers = server();
  const auto files = folder_.files("bare", issue(laptop(), &ca_), ca_);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  ASSERT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM), 1);
  static int tickets;
  tickets = 0;
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(context.get(), [](SSL*, SSL_SESSION*) { return ++tickets, 0; });
  SSL_SESSION* first = nullptr;
  for (int round = 0; round < 2; ++round) {
    connect(*client().factory, *servers.factory);
    const std::unique_ptr<SSL, decltype(&SSL_free)> bare(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(bare.get(), client_->socket().native_handle());
    SSL_set_connect_state(bare.get());
    if (first != nullptr) SSL_set_session(bare.get(), first);
    IoResult result{IoResult::Status::want_read, 0, true, {}};
    for (int step = 0; step < 10 && result.status != IoResult::Status::ok; ++step) {
      SSL_do_handshake(bare.get());
      result = server_->handshake();
    }
    ASSERT_EQ(result.status, IoResult::Status::ok);
    char byte;
    SSL_read(bare.get(), &byte, 1);  // a ticket would come after the handshake
    EXPECT_EQ(SSL_session_reused(bare.get()), 0);
    EXPECT_EQ(server_->identity(), "laptop.example.org");
    if (first == nullptr) first = SSL_get1_session(bare.get());
  }
  EXPECT_EQ(tickets, 0);
  SSL_SESSION_free(first);
}

TEST_F(CertificateTransport, TheTwoWaysOfProvingAnIdentityDoNotMix) {
  PeerSettings peer;
  peer.key_file = folder_.write_text("psk.key", "laptop:" + std::string(64, 'a') + "\n");
  EXPECT_FALSE(links(load_security(peer), server()));
  EXPECT_EQ(server_->identity(), "");
  AcceptSettings accept;
  accept.key_file = peer.key_file;
  expect_refusal(client(), load_security(accept),
                 "the server does not do TLS in the way we do; does its \"security\" differ?", "");
}

}  // namespace
}  // namespace backedpipe
