#include "net/dial/connector.hpp"

#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "session/dial/endpoint_race.hpp"

namespace backedpipe::test {
namespace {

using boost::asio::ip::tcp;

// The handshake is over as soon as the peer sends anything.
class WaitingTransport : public Transport {
 public:
  using Transport::Transport;
  IoResult handshake() override {
    std::byte byte{};
    const MutableBytes piece(&byte, 1);
    return read_pieces(std::span(&piece, 1));
  }
  IoResult write(std::span<const ConstBytes> pieces) override { return write_some(fd(), pieces); }
  void shutdown() override {}

 private:
  IoResult read_pieces(std::span<const MutableBytes> pieces) override {
    return read_some(fd(), pieces);
  }
};

class ConnectorTest : public testing::Test {
 protected:
  static Address loopback(std::uint16_t port) {
    return {.host = "127.0.0.1", .port = port, .unix_path = {}};
  }
  std::uint16_t listen() {
    acceptor_.open(tcp::v4());
    acceptor_.bind(tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    acceptor_.listen();
    return acceptor_.local_endpoint().port();
  }
  // A port that refuses connections: this socket is bound to it and does not listen.
  std::uint16_t unused_port() {
    unused_.open(tcp::v4());
    unused_.bind(tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    return unused_.local_endpoint().port();
  }

  Connector::Handlers handlers() {
    Connector::Handlers handlers;
    handlers.wrap = [](StreamSocket socket) {
      return std::make_unique<WaitingTransport>(std::move(socket));
    };
    handlers.done = [this](Connector::Outcome outcome) { outcomes_.push_back(std::move(outcome)); };
    return handlers;
  }
  void start(std::uint16_t port, Connector::Handlers handlers,
             std::optional<Duration> pace = std::nullopt) {
    connector_ = std::make_shared<Connector>(io_, std::vector{loopback(port)}, std::move(handlers),
                                             std::make_shared<EndpointCache>(), pace);
    watched_ = connector_;
    connector_->start();
  }
  // The peer accepts the connection and does `what` with it.
  template <typename What>
  void accept(What what) {
    acceptor_.async_accept([this, what](boost::system::error_code error, tcp::socket socket) {
      ASSERT_FALSE(error);
      accepted_.push_back(std::move(socket));
      what(accepted_.back());
    });
  }

  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  tcp::acceptor unused_{io_};
  std::vector<tcp::socket> accepted_;
  std::vector<Connector::Outcome> outcomes_;
  std::shared_ptr<Connector> connector_;
  std::weak_ptr<Connector> watched_;
};

void say_something(tcp::socket& socket) {
  socket.send(boost::asio::buffer("!", 1));
}

TEST_F(ConnectorTest, AConnectionIsOneOutcome) {
  const std::uint16_t port = listen();
  accept(say_something);
  start(port, handlers());
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* won = std::get_if<Connector::Won>(&outcomes_.front());
  ASSERT_NE(won, nullptr);
  EXPECT_TRUE(won->transport);
  EXPECT_EQ(won->where, "127.0.0.1:" + std::to_string(port));
}

TEST_F(ConnectorTest, APreparedSocketIsPreparedBeforeItIsConnected) {
  const std::uint16_t port = listen();
  Connector::Handlers with = handlers();
  with.prepare = [](int socket) { set_closing(socket, Closing::reset); };
  start(port, std::move(with));
  // The system has connected it, and nothing here knows that yet.
  tcp::socket peer = acceptor_.accept();
  connector_->cancel();
  boost::system::error_code error;
  std::byte byte{};
  peer.read_some(boost::asio::buffer(&byte, 1), error);
  EXPECT_EQ(error, boost::asio::error::connection_reset);
}

TEST_F(ConnectorTest, IsLostOnceWhereNobodyListens) {
  start(unused_port(), handlers());
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* lost = std::get_if<Connector::Lost>(&outcomes_.front());
  ASSERT_NE(lost, nullptr);
  EXPECT_FALSE(lost->rejected);
  EXPECT_FALSE(lost->starved);
  EXPECT_NE(lost->why.find("cannot connect to 127.0.0.1"), std::string::npos) << lost->why;
}

TEST_F(ConnectorTest, HasNoOutcomeAfterCancel) {
  const std::uint16_t port = listen();
  accept(say_something);
  start(port, handlers());
  connector_->cancel();
  io_.run();
  EXPECT_TRUE(outcomes_.empty());
}

TEST_F(ConnectorTest, MayBeCancelledWhileItSaysThatItIsStruggling) {
  const std::uint16_t port = listen();
  accept([](tcp::socket&) {});
  Connector::Handlers struggling = handlers();
  int complaints = 0;
  const auto alive = std::make_shared<int>(7);
  struggling.struggling = [this, alive, &complaints](const std::string&) {
    std::exchange(connector_, nullptr)->cancel();
    complaints += *alive - 6;
  };
  start(port, std::move(struggling), kRacePace);
  io_.run();
  EXPECT_EQ(complaints, 1);
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_TRUE(watched_.expired());
  EXPECT_EQ(alive.use_count(), 1) << "its handlers are gone with it";
}

TEST_F(ConnectorTest, TheHandlerOfTheOutcomeOutlivesTheConnector) {
  Connector::Handlers dropping = handlers();
  bool called = false;
  dropping.done = [this, &called, own = std::make_shared<int>(7)](Connector::Outcome) {
    connector_.reset();
    EXPECT_EQ(own.use_count(), 1);
    called = *own == 7;
  };
  start(unused_port(), std::move(dropping));
  io_.run();
  EXPECT_TRUE(called);
  EXPECT_TRUE(watched_.expired());
}

}  // namespace
}  // namespace backedpipe::test
