#include "net/socket/link_socket.hpp"

#include <netinet/tcp.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

namespace backedpipe::test {
namespace {

int option(StreamSocket& socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, &size), 0);
  return value;
}

TEST(LinkSocket, RepeatsFewLostBytesSteadilyAndGivesUpWithTheLink) {
  boost::asio::io_context io;
  StreamSocket socket(io);
  socket.open(boost::asio::ip::tcp::v4());
  ASSERT_EQ(option(socket, TCP_THIN_LINEAR_TIMEOUTS), 0) << "the system does so by itself";
  prepare_link_socket(socket, std::chrono::seconds(15));
  EXPECT_EQ(option(socket, TCP_THIN_LINEAR_TIMEOUTS), 1);
  EXPECT_EQ(option(socket, TCP_USER_TIMEOUT), 15000);
}

TEST(LinkSocket, KeepsNothingBackAndQueuesLittle) {
  boost::asio::io_context io;
  StreamSocket socket(io);
  socket.open(boost::asio::ip::tcp::v4());
  prepare_link_socket(socket, std::chrono::seconds(15));
  EXPECT_EQ(option(socket, TCP_NODELAY), 1);
  EXPECT_EQ(option(socket, TCP_NOTSENT_LOWAT), 128 << 10);
}

}  // namespace
}  // namespace backedpipe::test
