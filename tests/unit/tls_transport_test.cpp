#include <array>
#include <csignal>
#include <memory>
#include <random>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "net/link/tls/psk_context.hpp"

namespace backedpipe {
namespace {

KeyEntry key_of(const std::string& identity, std::uint8_t fill) {
  KeyEntry entry;
  entry.identity = identity;
  entry.key.bytes.fill(fill);
  return entry;
}

// Two transports over a pair of connected sockets.
class TlsTransportTest : public testing::Test {
 protected:
  void connect(const KeyEntry& client_key, const KeyEntry& server_key) {
    std::signal(SIGPIPE, SIG_IGN);
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    clients_ = make_psk_client_factory(client_key);
    servers_ = make_psk_server_factory(KeyFile{{server_key}});
    const StreamSocket::protocol_type protocol(AF_UNIX, 0);
    client_ = clients_->wrap(StreamSocket(io_, protocol, pair[0]));
    server_ = servers_->wrap(StreamSocket(io_, protocol, pair[1]));
  }

  // Lets both sides take steps until neither wants more; true when both have finished.
  bool shake_hands() {
    IoResult client;
    IoResult server;
    for (int step = 0; step < 10; ++step) {
      client = client_->handshake();
      server = server_->handshake();
      if (client.status == IoResult::Status::ok && server.status == IoResult::Status::ok)
        return true;
      if (server.status == IoResult::Status::failed) break;
    }
    return false;
  }

  boost::asio::io_context io_;
  std::unique_ptr<TransportFactory> clients_;
  std::unique_ptr<TransportFactory> servers_;
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(TlsTransportTest, TheServerKnowsWhoHasProvedToHaveTheKey) {
  connect(key_of("laptop", 7), key_of("laptop", 7));
  EXPECT_EQ(server_->identity(), "") << "nothing is proved before the handshake";
  ASSERT_TRUE(shake_hands());
  EXPECT_EQ(server_->identity(), "laptop");
}

TEST_F(TlsTransportTest, AWrongKeyIsRejectedAndNamed) {
  connect(key_of("laptop", 7), key_of("laptop", 8));
  EXPECT_FALSE(shake_hands());
  EXPECT_TRUE(server_->rejected());
  EXPECT_EQ(server_->failure(), "wrong key for identity \"laptop\"");
  EXPECT_EQ(server_->identity(), "");
}

TEST_F(TlsTransportTest, AnUnknownIdentityFailsLikeAWrongKeyButIsNamedInTheLog) {
  connect(key_of("stranger", 7), key_of("laptop", 7));
  EXPECT_FALSE(shake_hands());
  EXPECT_TRUE(server_->rejected());
  EXPECT_EQ(server_->failure(), "unknown identity \"stranger\"");
  std::array<std::byte, 16> buffer;
  EXPECT_EQ(client_->read(buffer).status, IoResult::Status::failed);
  EXPECT_TRUE(client_->rejected());
}

TEST_F(TlsTransportTest, PiecesOfAnySizeArriveInOrder) {
  connect(key_of("laptop", 7), key_of("laptop", 7));
  ASSERT_TRUE(shake_hands());
  std::vector<std::byte> sent(200'000);
  for (std::size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<std::byte>(i * 31 >> 3);
  std::vector<std::byte> received;
  std::array<std::byte, 5000> buffer;
  std::size_t at = 0;
  while (received.size() < sent.size()) {
    if (at < sent.size()) {
      const ConstBytes rest = ConstBytes(sent).subspan(at);
      // A header, a piece longer than a record, and what is left: as frames look.
      const std::size_t head = std::min<std::size_t>(24, rest.size());
      const std::size_t body = std::min<std::size_t>(40'000, rest.size() - head);
      const std::array<ConstBytes, 3> pieces{rest.first(head), rest.subspan(head, body),
                                             rest.subspan(head + body)};
      at += client_->write(pieces).bytes;
    }
    const IoResult result = server_->read(buffer);
    ASSERT_TRUE(result.status == IoResult::Status::ok ||
                result.status == IoResult::Status::want_read);
    received.insert(received.end(), buffer.begin(),
                    buffer.begin() + static_cast<std::ptrdiff_t>(result.bytes));
  }
  EXPECT_EQ(received, sent);
}

// All links of a thread share the buffers on their way to and from their sockets. What a socket
// does not take, and what a reader has no room for, must stay with the link it belongs to.
TEST_F(TlsTransportTest, LinksOfOneThreadKeepTheirBytesApart) {
  struct Link {
    std::unique_ptr<Transport> from;
    std::unique_ptr<Transport> to;
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    std::size_t received = 0;
  };
  std::minstd_rand random(1);
  std::array<Link, 3> links;
  for (Link& link : links) {
    connect(key_of("laptop", 7), key_of("laptop", 7));
    ASSERT_TRUE(shake_hands());
    const int room = 100'000;
    ::setsockopt(client_->socket().native_handle(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    link.from = std::move(client_);
    link.to = std::move(server_);
    link.bytes.resize(std::size_t{4} << 20);
    for (std::byte& byte : link.bytes)
      byte = static_cast<std::byte>(random());
  }
  std::size_t unfinished = links.size();
  while (unfinished > 0) {
    Link& link = links[random() % links.size()];
    const ConstBytes rest = ConstBytes(link.bytes).subspan(link.sent);
    const std::size_t first = std::min<std::size_t>(random() % 60'000 + 1, rest.size());
    if (!rest.empty()) {
      link.sent += link.from->write(std::array{rest.first(first), rest.subspan(first)}).bytes;
    }
    std::vector<std::byte> buffer(random() % 2 == 0 ? random() % 600 + 1 : random() % 200'000 + 1);
    const IoResult result = link.to->read(buffer);
    ASSERT_TRUE(result.status == IoResult::Status::ok ||
                result.status == IoResult::Status::want_read);
    ASSERT_TRUE(std::equal(buffer.begin(),
                           buffer.begin() + static_cast<std::ptrdiff_t>(result.bytes),
                           link.bytes.begin() + static_cast<std::ptrdiff_t>(link.received)));
    if (result.bytes == 0) continue;
    link.received += result.bytes;
    ASSERT_LE(link.received, link.sent);
    if (link.received == link.bytes.size()) --unfinished;
  }
}

TEST_F(TlsTransportTest, OneReadBringsManyRecords) {
  connect(key_of("laptop", 7), key_of("laptop", 7));
  ASSERT_TRUE(shake_hands());
  const std::vector<std::byte> bytes(100'000, std::byte{5});
  for (std::size_t at = 0; at < 5000; at += 1000)
    ASSERT_EQ(client_->write(std::array{ConstBytes(bytes).subspan(at, 1000)}).bytes, 1000);
  ASSERT_EQ(client_->write(std::array{ConstBytes(bytes).subspan(5000)}).bytes, 95'000);
  std::vector<std::byte> buffer(200'000);
  const IoResult all = server_->read(buffer);
  EXPECT_EQ(all.bytes, 100'000);
  EXPECT_TRUE(all.drained) << "an attempt to read again at once would be for nothing";
  buffer.resize(all.bytes);
  EXPECT_EQ(buffer, bytes);
}

TEST_F(TlsTransportTest, TheBytesBeforeTheEndComeBeforeIt) {
  connect(key_of("laptop", 7), key_of("laptop", 7));
  ASSERT_TRUE(shake_hands());
  const std::vector<std::byte> bytes(20'000, std::byte{5});
  ASSERT_EQ(client_->write(std::array{ConstBytes(bytes)}).bytes, 20'000);
  client_->shutdown();
  client_.reset();
  std::vector<std::byte> buffer(100'000);
  const IoResult data = server_->read(buffer);
  EXPECT_EQ(data.status, IoResult::Status::ok);
  EXPECT_EQ(data.bytes, 20'000);
  EXPECT_EQ(server_->read(buffer).status, IoResult::Status::closed);
}

// What the other side may have received must have been counted as sent, or its acknowledgement
// would be taken for one of bytes that never left.
TEST_F(TlsTransportTest, AWriteThatFailsHalfWayCountsWhatWentOutBefore) {
  connect(key_of("laptop", 7), key_of("laptop", 7));
  ASSERT_TRUE(shake_hands());
  // The peer closes while a write is running.
  std::size_t received = 0;
  std::thread reader([&] {
    std::vector<std::byte> buffer(std::size_t{64} << 10);
    while (received < (std::size_t{8} << 20))
      received += server_->read(buffer).bytes;
    server_.reset();
  });
  const std::vector<std::byte> bytes(std::size_t{16} << 20);
  std::size_t counted = 0;
  IoResult result;
  do {
    result = client_->write(std::array<ConstBytes, 1>{ConstBytes(bytes).subspan(counted)});
    counted += result.bytes;
  } while (result.status != IoResult::Status::failed && counted < bytes.size());
  reader.join();
  EXPECT_EQ(result.status, IoResult::Status::failed);
  EXPECT_LE(received, counted);
}

// The same for a stuck record: when it leaves in a write that gets stuck again right after it, it
// counts as sent.
TEST_F(TlsTransportTest, AStuckRecordThatLeavesIsCountedInTheWriteThatLetItGo) {
  const std::vector<std::byte> bytes(std::size_t{1} << 20);
  std::minstd_rand random(1);
  for (int round = 0; round < 300; ++round) {
    connect(key_of("laptop", 7), key_of("laptop", 7));
    ASSERT_TRUE(shake_hands());
    const int room = 15'000 + static_cast<int>(random() % 15'000);
    ::setsockopt(client_->socket().native_handle(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    std::vector<std::byte> buffer(random() % 40'000 + 1);
    std::size_t counted = 0;
    std::size_t received = 0;
    const auto write = [&] {
      const ConstBytes rest = ConstBytes(bytes).subspan(counted);
      const std::size_t first = random() % 60'000 + 1;
      counted += client_->write(std::array{rest.first(first), rest.subspan(first)}).bytes;
    };
    const auto read = [&] {
      const IoResult result = server_->read(buffer);
      received += result.bytes;
      return result.status == IoResult::Status::ok;
    };
    write();
    for (auto reads = random() % 4; reads > 0; --reads)
      read();
    write();
    // Reads the rest, which has left by now.
    while (read()) {
    }
    ASSERT_EQ(received, counted) << "round " << round
                                 << ": a record counts once all of it has left";
  }
}

}  // namespace
}  // namespace backedpipe
