// What an application reads when the daemon's end of its connection goes away, in each of the ways
// in which it can, and how TCP looks after the connection meanwhile.
#include "net/socket/application_socket.hpp"

#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "net/socket/application_options.hpp"

namespace backedpipe::test {
namespace {

using boost::asio::ip::tcp;
using std::chrono::seconds;

class ApplicationSocketTest : public testing::Test {
 protected:
  ApplicationSocketTest()
      : listener_(io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    prepare_application_socket(listener_.native_handle(), seconds(60));
  }

  // An application's connection, as its listener accepts it.
  StreamSocket accept() {
    application_.connect(listener_.local_endpoint());
    const int accepted = ::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK);
    return StreamSocket(io_, StreamSocket::protocol_type(AF_INET, IPPROTO_TCP), accepted);
  }

  // Reads until the connection ends: how many bytes there were, and how it ended.
  struct Read {
    std::size_t bytes = 0;
    boost::system::error_code end;
  };
  Read read_all() {
    Read read;
    std::string piece(1 << 16, '\0');
    while (!read.end)
      read.bytes += application_.read_some(boost::asio::buffer(piece), read.end);
    return read;
  }

  // Writes until nothing more fits into the socket.
  static std::size_t fill(ApplicationSocket& socket) {
    const std::string piece(1 << 16, 'x');
    const ConstBytes bytes = std::as_bytes(std::span(piece));
    std::size_t written = 0;
    while (true) {
      const IoResult result = socket.write(std::span(&bytes, 1));
      written += result.bytes;
      if (result.status != IoResult::Status::ok) return written;
    }
  }

  static int option(int socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(socket, level, name, &value, &size), 0);
    return value;
  }

  boost::asio::io_context io_;
  tcp::acceptor listener_;
  tcp::socket application_{io_};
};

TEST_F(ApplicationSocketTest, AnAcceptedConnectionThatIsJustDroppedIsReset) {
  // Dropped by its destructor, as when an exception leaves main().
  { const StreamSocket accepted = accept(); }
  EXPECT_EQ(read_all().end, boost::asio::error::connection_reset);
}

TEST_F(ApplicationSocketTest, AConnectionThatIsDroppedInTheMiddleOfDataIsReset) {
  {
    ApplicationSocket socket(accept());
    fill(socket);
  }
  EXPECT_EQ(read_all().end, boost::asio::error::connection_reset);
}

TEST_F(ApplicationSocketTest, AConnectionWaitingToBeAcceptedIsResetWithItsListener) {
  application_.connect(listener_.local_endpoint());
  listener_.close();
  EXPECT_EQ(read_all().end, boost::asio::error::connection_reset);
}

TEST_F(ApplicationSocketTest, CloseDeliversWhatTheSocketHoldsAndThenTheEnd) {
  std::size_t written = 0;
  {
    ApplicationSocket socket(accept());
    written = fill(socket);
    application_.shutdown(tcp::socket::shutdown_send);
    socket.finish();
    socket.close();
  }
  ASSERT_GT(written, std::size_t{1} << 20);
  const Read read = read_all();
  EXPECT_EQ(read.bytes, written);
  EXPECT_EQ(read.end, boost::asio::error::eof);
}

TEST_F(ApplicationSocketTest, AHalfCloseDeliversWhatTheSocketHoldsAndThenTheEnd) {
  ApplicationSocket socket(accept());
  const std::size_t written = fill(socket);
  socket.finish();
  const Read read = read_all();
  EXPECT_EQ(read.bytes, written);
  EXPECT_EQ(read.end, boost::asio::error::eof);
}

TEST_F(ApplicationSocketTest, AfterAHalfCloseTheApplicationIsStillToldOfALoss) {
  {
    ApplicationSocket socket(accept());
    socket.finish();
    EXPECT_EQ(read_all().end, boost::asio::error::eof);
  }
  // The reset has come by now: loopback delivers it before close() returns.
  boost::system::error_code error;
  application_.send(boost::asio::buffer("?", 1), 0, error);
  EXPECT_EQ(error, boost::asio::error::broken_pipe);
}

TEST_F(ApplicationSocketTest, ResetDropsWhatTheSocketHolds) {
  ApplicationSocket socket(accept());
  fill(socket);
  socket.reset();
  EXPECT_EQ(read_all().end, boost::asio::error::connection_reset);
}

TEST_F(ApplicationSocketTest, AcceptedConnectionsHaveTheOptionsOfTheirListener) {
  StreamSocket accepted = accept();
  const int socket = accepted.native_handle();
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 10);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPCNT), 3);
}

TEST_F(ApplicationSocketTest, AConnectionIsAcceptedFromTheListenerOfItsLocalAddress) {
  StreamSocket accepted = accept();
  EXPECT_TRUE(is_accepted_from(listener_.native_handle(), accepted.native_handle()));
  EXPECT_FALSE(is_accepted_from(listener_.native_handle(), application_.native_handle()));
  const std::uint16_t port = listener_.local_endpoint().port();
  tcp::acceptor everywhere(io_, tcp::v4());
  everywhere.set_option(tcp::acceptor::reuse_address(true));
  everywhere.bind({tcp::v4(), 0});
  EXPECT_FALSE(is_accepted_from(everywhere.native_handle(), accepted.native_handle()));
  listener_.close();
  tcp::acceptor successor(io_, tcp::v4());
  successor.set_option(tcp::acceptor::reuse_address(true));
  successor.bind({tcp::v4(), port});
  EXPECT_TRUE(is_accepted_from(successor.native_handle(), accepted.native_handle()));
}

TEST_F(ApplicationSocketTest, AnotherReferenceShowsHowAConnectionCloses) {
  ApplicationSocket socket(accept());
  const int other = ::dup(socket.socket().native_handle());
  EXPECT_EQ(closing_of(other), Closing::reset);
  socket.close();
  EXPECT_EQ(closing_of(other), Closing::orderly);
  ::close(other);
}

TEST_F(ApplicationSocketTest, KeepaliveCanBeSwitchedOffAgainAndIsNeverShorterThanASecond) {
  const int socket = listener_.native_handle();
  prepare_application_socket(socket, seconds(4));
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 1);
  prepare_application_socket(socket, std::nullopt);
  EXPECT_EQ(option(socket, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST_F(ApplicationSocketTest, OwesNothingOnceAllIsAcknowledged) {
  ApplicationSocket socket(accept());
  EXPECT_FALSE(socket.unanswered());
  fill(socket);
  const auto owed = socket.unanswered();
  ASSERT_TRUE(owed);
  EXPECT_LT(owed->silence, seconds(1));
}

TEST_F(ApplicationSocketTest, NothingIsKnownOfAUnixSocket) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  const StreamSocket other(io_, StreamSocket::protocol_type(AF_UNIX, 0), pair[1]);
  ApplicationSocket socket(StreamSocket(io_, StreamSocket::protocol_type(AF_UNIX, 0), pair[0]));
  fill(socket);
  EXPECT_FALSE(socket.unanswered());
}

}  // namespace
}  // namespace backedpipe::test
