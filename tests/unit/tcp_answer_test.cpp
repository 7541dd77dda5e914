#include <array>
#include <memory>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "net/link/transport.hpp"

namespace backedpipe::test {
namespace {

using boost::asio::ip::tcp;

const std::array<std::byte, 1> kByte{};

// A transport, and the other end of its connection as a blocking socket.
class TcpAnswers : public testing::Test {
 protected:
  void SetUp() override {
    tcp::acceptor acceptor(io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    StreamSocket near(io_);
    near.connect(acceptor.local_endpoint());
    far_ = acceptor.accept();
    near.non_blocking(true);
    transport_ = factory_->wrap(std::move(near));
  }

  // A byte there and one back, which carries the acknowledgement.
  void exchange() {
    const ConstBytes bytes = kByte;
    ASSERT_EQ(transport_->write(std::span(&bytes, 1)).bytes, 1U);
    std::array<char, 1> taken{};
    ASSERT_EQ(far_.receive(boost::asio::buffer(taken)), 1U);
    hear();
  }

  void hear() {
    ASSERT_EQ(far_.send(boost::asio::buffer("!", 1)), 1U);
    transport_->socket().wait(boost::asio::socket_base::wait_read);
    std::array<std::byte, 16> buffer{};
    ASSERT_EQ(transport_->read(MutableBytes(buffer)).bytes, 1U);
  }

  std::optional<TcpAnswer> answer() { return transport_->tcp_answer(now_); }

  boost::asio::io_context io_;
  std::unique_ptr<TransportFactory> factory_ = make_plain_factory();
  tcp::socket far_{io_};
  std::unique_ptr<Transport> transport_;
  const TimePoint now_{std::chrono::hours(1)};
};

TEST_F(TcpAnswers, ComeWhenSomethingOfOursWasAcknowledged) {
  exchange();
  const auto first = answer();
  ASSERT_TRUE(first);
  EXPECT_LE(first->at, now_);
  EXPECT_GT(first->at, now_ - std::chrono::minutes(1));
  EXPECT_GT(first->round_trip, Duration(0));
  EXPECT_LT(first->round_trip, std::chrono::seconds(10));
  EXPECT_FALSE(answer()) << "nothing since";
  exchange();
  EXPECT_TRUE(answer());
}

TEST_F(TcpAnswers, DoNotComeFromWhatTheOtherSideSends) {
  exchange();
  ASSERT_TRUE(answer());
  hear();
  EXPECT_FALSE(answer());
}

TEST_F(TcpAnswers, DoNotComeFromASocketThatIsNoTcp) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  transport_ = factory_->wrap(StreamSocket(io_, StreamSocket::protocol_type(AF_UNIX, 0), pair[0]));
  const ConstBytes bytes = kByte;
  ASSERT_EQ(transport_->write(std::span(&bytes, 1)).bytes, 1U);
  EXPECT_FALSE(answer());
  ::close(pair[1]);
}

}  // namespace
}  // namespace backedpipe::test
