// What the tests of the dialling side share: a link whose other end the test holds.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "net/link/transport.hpp"
#include "proto/handshake.hpp"

namespace backedpipe::test {

// A pair of connected sockets: one for a transport; the other one blocks and belongs to the test.
class LinkPair {
 public:
  explicit LinkPair(boost::asio::io_context& io) : near_(io) {
    int pair[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    near_.assign(StreamSocket::protocol_type(AF_UNIX, 0), pair[0]);
    near_.non_blocking(true);
    far_ = pair[1];
  }
  ~LinkPair() { close(); }
  LinkPair(const LinkPair&) = delete;
  LinkPair& operator=(const LinkPair&) = delete;

  StreamSocket take_near() { return std::move(near_); }
  std::unique_ptr<Transport> take_link() { return factory_->wrap(std::move(near_)); }

  void say(const std::vector<std::byte>& bytes) const {
    EXPECT_EQ(::send(far_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // How many bytes have arrived; does not wait.
  std::size_t heard() const {
    std::array<char, 1000> bytes;
    const ssize_t count = ::recv(far_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  void close() {
    if (far_ >= 0) ::close(far_);
    far_ = -1;
  }

 private:
  std::shared_ptr<const TransportFactory> factory_ = make_plain_factory();
  StreamSocket near_;
  int far_ = -1;
};

}  // namespace backedpipe::test
