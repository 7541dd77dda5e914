#include "net/accept/pending_link.hpp"

#include <map>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "net/accept/waiting_links.hpp"
#include "tests/unit/accept_support.hpp"

namespace backedpipe::test {
namespace {

using Outcome = PendingLink::Outcome;

constexpr std::string_view kNoHello = "GET / HTTP/1.1\r\n\r\n";

class PendingLinkTest : public testing::Test {
 protected:
  // A link, and the peer's end of it.
  std::pair<std::unique_ptr<Transport>, FarEnd> make() {
    int pair[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    return {factory_->wrap(StreamSocket(io_, StreamSocket::protocol_type(AF_UNIX, 0), pair[0])),
            FarEnd(pair[1])};
  }
  // Records what a link reports, and drops the link then, as its owners do.
  std::shared_ptr<PendingLink> own(std::unique_ptr<Transport> transport) {
    const int number = static_cast<int>(owned_.size());
    auto link =
        std::make_shared<PendingLink>(std::move(transport), [this, number](Outcome outcome) {
          owned_.erase(number);
          if (const auto* const heard = std::get_if<HeardLink>(&outcome)) {
            early_.assign(heard->early.begin(), heard->early.end());
          }
          outcomes_.push_back(std::move(outcome));
        });
    owned_.emplace(number, link);
    return link;
  }
  void run() {
    io_.restart();
    io_.poll();
  }
  template <typename Expected>
  const Expected* only() const {
    return outcomes_.size() == 1 ? std::get_if<Expected>(&outcomes_[0]) : nullptr;
  }

  boost::asio::io_context io_;
  std::shared_ptr<const TransportFactory> factory_ = make_plain_factory();
  std::map<int, std::shared_ptr<PendingLink>> owned_;
  std::vector<Outcome> outcomes_;
  std::vector<std::byte> early_;
};

TEST_F(PendingLinkTest, HandsItsTransportOverWithTheHelloAndWhatCameAfterIt) {
  auto [transport, far] = make();
  own(std::move(transport))->start();
  far.say(opening(1));
  far.send("x", 1);
  run();
  const auto* const heard = only<HeardLink>();
  ASSERT_NE(heard, nullptr);
  EXPECT_EQ(heard->hello, opening(1));
  EXPECT_EQ(early_, std::vector{std::byte{'x'}});
  EXPECT_TRUE(heard->transport->socket().is_open());
}

TEST_F(PendingLinkTest, APeerThatSaysNothingIsNoFailure) {
  auto [transport, far] = make();
  own(std::move(transport))->start();
  far.close();
  run();
  EXPECT_NE(only<PendingLink::Closed>(), nullptr);
}

TEST_F(PendingLinkTest, HalfAHelloIsAFailure) {
  auto [transport, far] = make();
  own(std::move(transport))->start();
  const std::vector<std::byte> hello = encode(opening(1));
  far.send(hello.data(), hello.size() / 2);
  run();
  EXPECT_TRUE(outcomes_.empty());
  far.close();
  run();
  EXPECT_NE(only<PendingLink::Failed>(), nullptr);
}

TEST_F(PendingLinkTest, WhatIsNoHelloIsRefusedAndAFailure) {
  auto [transport, far] = make();
  own(std::move(transport))->start();
  far.send(kNoHello.data(), kNoHello.size());
  run();
  EXPECT_NE(only<PendingLink::Failed>(), nullptr);
  EXPECT_EQ(far.refused(), Reason::protocol_error);
}

TEST_F(PendingLinkTest, AfterASessionWhatIsNoHelloOnlyClosesTheLink) {
  auto [transport, far] = make();
  own(std::move(transport))->await_hello({.before_hello = std::chrono::seconds(45)});
  far.send(kNoHello.data(), kNoHello.size());
  run();
  EXPECT_NE(only<PendingLink::Closed>(), nullptr);
  EXPECT_FALSE(far.answered());
}

TEST_F(PendingLinkTest, AfterASessionAHelloThatHasBegunMustSoonBeComplete) {
  auto [transport, far] = make();
  own(std::move(transport))
      ->await_hello(
          {.before_hello = std::chrono::seconds(5), .within_hello = std::chrono::milliseconds(20)});
  const std::vector<std::byte> hello = encode(opening(2));
  far.send(hello.data(), 1);
  while (outcomes_.empty()) {
    io_.restart();
    io_.run_one();
  }
  const auto* const closed = only<PendingLink::Closed>();
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->why, "timeout: a HELLO began and was not completed");
  EXPECT_FALSE(far.answered());
  EXPECT_TRUE(far.at_end());
}

TEST_F(PendingLinkTest, AfterASessionAHelloMayComeInPieces) {
  auto [transport, far] = make();
  own(std::move(transport))->await_hello({.before_hello = std::chrono::seconds(45)});
  const std::vector<std::byte> hello = encode(opening(2));
  for (const std::byte& byte : hello) {
    far.send(&byte, 1);
    run();
  }
  const auto* const heard = only<HeardLink>();
  ASSERT_NE(heard, nullptr);
  EXPECT_EQ(heard->hello, opening(2));
}

TEST_F(PendingLinkTest, ReportsOnceAndBeforeEvictReturns) {
  auto [transport, far] = make();
  const auto link = own(std::move(transport));
  link->start();
  far.say(opening(1));
  link->evict();
  EXPECT_NE(only<PendingLink::Evicted>(), nullptr);
  EXPECT_TRUE(far.at_end());
  link->evict();
  run();
  EXPECT_EQ(outcomes_.size(), 1U);
}

TEST_F(PendingLinkTest, ItsOwnerMayLetGoOfItAndEvictItInTheMiddleOfTheReport) {
  auto [transport, far] = make();
  std::shared_ptr<PendingLink> link;
  int reports = 0;
  link = std::make_shared<PendingLink>(std::move(transport), [&](const Outcome&) {
    ++reports;
    link->evict();
    link.reset();
  });
  link->start();
  link->evict();
  EXPECT_EQ(link, nullptr);
  run();
  EXPECT_EQ(reports, 1);
}

TEST_F(PendingLinkTest, OfTooManyWaitingLinksTheOldestGoes) {
  const auto listener = std::make_shared<LinkListener>();
  std::vector<HeardLink> heard;
  WaitingLinks waiting([&heard](const LinkListener&, HeardLink link) {
    link.early = {};
    heard.push_back(std::move(link));
  });
  waiting.limit(2);
  std::vector<FarEnd> far;
  for (int i = 0; i < 3; ++i) {
    auto [transport, end] = make();
    far.push_back(std::move(end));
    waiting.keep(listener, std::move(transport));
  }
  EXPECT_TRUE(far[0].at_end());
  EXPECT_EQ(listener->spare_count, 2U);
  far[1].say(opening(2));
  run();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].hello, opening(2));
  EXPECT_EQ(listener->spare_count, 1U);
  waiting.close_all();
  EXPECT_TRUE(far[2].at_end());
  EXPECT_EQ(listener->spare_count, 0U);
  run();
}

}  // namespace
}  // namespace backedpipe::test
