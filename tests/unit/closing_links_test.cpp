// ClosingLinks: links that are being closed hold a bounded number of descriptors.
#include <array>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <gtest/gtest.h>

#include "net/link/graceful_close.hpp"

namespace backedpipe::test {
namespace {

class ClosingLinksTest : public testing::Test {
 protected:
  ~ClosingLinksTest() override {
    for (const int far : far_)
      ::close(far);
  }
  void close_one() {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    far_.push_back(ends[1]);
    StreamSocket socket(io_);
    socket.assign(boost::asio::local::stream_protocol(), ends[0]);
    close_gracefully(factory_->wrap(std::move(socket)));
  }
  void run() {
    io_.restart();
    io_.poll();
  }
  // Our side has ended its direction, or has closed. Tells them apart by whether it takes bytes.
  bool is_open(std::size_t number) const { return ::send(far_[number], "x", 1, MSG_NOSIGNAL) == 1; }

  boost::asio::io_context io_;
  std::shared_ptr<TransportFactory> factory_ = make_plain_factory();
  std::vector<int> far_;
};

TEST_F(ClosingLinksTest, AtTheLimitTheOldestIsClosedAtOnce) {
  ClosingLinks::of(io_).limit(2);
  for (int i = 0; i < 3; ++i)
    close_one();
  run();
  EXPECT_FALSE(is_open(0));
  EXPECT_TRUE(is_open(1));
  EXPECT_TRUE(is_open(2));
  EXPECT_EQ(ClosingLinks::of(io_).size(), 2U);
}

TEST_F(ClosingLinksTest, OneThatThePeerHasClosedCountsNoLonger) {
  close_one();
  close_one();
  ASSERT_EQ(::shutdown(far_[0], SHUT_WR), 0);
  run();
  EXPECT_EQ(ClosingLinks::of(io_).size(), 1U);
  EXPECT_FALSE(is_open(0));
}

}  // namespace
}  // namespace backedpipe::test
