#include "net/shared/spare_links.hpp"

#include <array>
#include <memory>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

constexpr std::size_t kMany = 100;

class SpareLinksTest : public testing::Test {
 protected:
  ~SpareLinksTest() override {
    spares_->clear();
    for (const int peer : peers_)
      ::close(peer);
  }

  // A link of the thread of `io`; its descriptor tells it from others. The other end is peers_'s
  // last.
  int put(boost::asio::io_context& io, std::size_t most = kMany) {
    int pair[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    peers_.push_back(pair[1]);
    spares_->put(factory_->wrap(StreamSocket(io, StreamSocket::protocol_type(AF_UNIX, 0), pair[0])),
                 most);
    return pair[0];
  }

  // The descriptor of what is taken for the thread of `io`, or -1.
  int take(boost::asio::io_context& io) {
    taken_.push_back(spares_->take(factory_, io));
    if (!taken_.back()) return -1;
    EXPECT_TRUE(taken_.back()->socket().get_executor() == io.get_executor());
    return taken_.back()->socket().native_handle();
  }

  bool peer_sees_the_end(std::size_t number) {
    char byte = 0;
    return ::recv(peers_[number], &byte, 1, MSG_DONTWAIT) == 0;
  }

  boost::asio::io_context home_;
  boost::asio::io_context one_;
  boost::asio::io_context other_;
  std::shared_ptr<const TransportFactory> factory_ = make_plain_factory();
  std::shared_ptr<SpareLinks> spares_ = std::make_shared<SpareLinks>(home_);
  std::vector<int> peers_;
  std::vector<std::unique_ptr<Transport>> taken_;
};

TEST_F(SpareLinksTest, GivesTheOneThatWasInUseLastAndEachOnce) {
  const int first = put(one_);
  const int second = put(one_);
  EXPECT_EQ(spares_->size(), 2U);
  EXPECT_EQ(take(one_), second);
  EXPECT_EQ(take(one_), first);
  EXPECT_EQ(take(one_), -1);
}

TEST_F(SpareLinksTest, PrefersOneOfTheSameThread) {
  const int mine = put(one_);
  const int others = put(other_);
  EXPECT_EQ(take(one_), mine);
  EXPECT_EQ(take(one_), others);
}

TEST_F(SpareLinksTest, OneOfAnotherThreadCarriesOnOnThisOne) {
  const int descriptor = put(other_);
  ASSERT_EQ(take(one_), descriptor);
  bool told = false;
  wait_for(taken_.back()->socket(), IoResult::Status::want_read,
           [&told](const boost::system::error_code& error) { told = !error; });
  ASSERT_EQ(::send(peers_[0], "x", 1, 0), 1);
  one_.run();
  EXPECT_TRUE(told);
  std::array<std::byte, 8> room;
  EXPECT_EQ(taken_.back()->read(room).bytes, 1U);
}

TEST_F(SpareLinksTest, ClosesWhatIsTooMany) {
  put(one_, 2);
  put(one_, 2);
  put(one_, 2);
  EXPECT_EQ(spares_->size(), 2U);
  EXPECT_TRUE(peer_sees_the_end(2));
  EXPECT_FALSE(peer_sees_the_end(0));
}

TEST_F(SpareLinksTest, DoesNotGiveOneOnWhichSomethingHasCome) {
  const int quiet = put(one_);
  put(one_);
  ASSERT_EQ(::send(peers_[1], "x", 1, 0), 1);
  put(one_);
  ::shutdown(peers_[2], SHUT_WR);
  EXPECT_EQ(take(one_), quiet);
  EXPECT_EQ(spares_->size(), 0U);
}

TEST_F(SpareLinksTest, DoesNotGiveOneThatWasMadeByOtherRules) {
  put(one_);
  factory_ = make_plain_factory();
  EXPECT_EQ(take(one_), -1);
  EXPECT_TRUE(peer_sees_the_end(0));
  const int made_since = put(one_);
  EXPECT_EQ(take(one_), made_since);
}

TEST_F(SpareLinksTest, ForgetsAllWhenThereIsDoubt) {
  put(one_);
  put(other_);
  spares_->clear();
  EXPECT_EQ(take(one_), -1);
  EXPECT_TRUE(peer_sees_the_end(0) && peer_sees_the_end(1));
}

TEST_F(SpareLinksTest, NoticesThatThePeerHasClosedAndThenRests) {
  put(one_);
  put(one_);
  ::shutdown(peers_[0], SHUT_WR);
  while (spares_->size() == 2)
    home_.run_one();
  EXPECT_EQ(spares_->size(), 1U);
  spares_->clear();
  // Without links no timer runs.
  home_.run();
  put(one_);
  ::shutdown(peers_[2], SHUT_WR);
  home_.restart();
  home_.run();
  EXPECT_EQ(spares_->size(), 0U) << "it looks again";
}

}  // namespace
}  // namespace backedpipe
