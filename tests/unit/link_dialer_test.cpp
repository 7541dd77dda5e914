#include "net/dial/link_dialer.hpp"

#include <chrono>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "tests/unit/dial_support.hpp"

namespace backedpipe::test {
namespace {

using boost::asio::ip::tcp;
using Outcome = LinkDialer::Outcome;

const SessionId kSession = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");
constexpr Duration kPatience = std::chrono::seconds(5);

Hello opening_hello() {
  return {.session = kSession,
          .generation = 1,
          .position = {0, 0, 100},
          .open = true,
          .service = "ssh"};
}

Welcome matching_welcome() {
  return {.session = kSession, .generation = 1, .position = {0, 0, 300}, .created = true};
}

// A dialer that uses an existing link, or dials a port of this machine.
class LinkDialerTest : public testing::Test {
 protected:
  LinkDialer::Handlers handlers() {
    LinkDialer::Handlers handlers;
    handlers.hello = [] { return opening_hello(); };
    handlers.done = [this](Outcome outcome) {
      if (const auto* link = std::get_if<LinkDialer::Welcomed>(&outcome)) {
        early_bytes_ = link->early.size();
      }
      outcomes_.push_back(std::move(outcome));
    };
    return handlers;
  }
  void make(LinkDialer::Handlers handlers, std::uint16_t port = 1) {
    dialer_ =
        std::make_shared<LinkDialer>(io_, std::vector{Endpoint{.host = "127.0.0.1", .port = port}},
                                     factory_, std::chrono::seconds(15), std::move(handlers));
    watched_ = dialer_;
  }
  void start_on_pair(LinkDialer::Handlers handlers, Duration patience = kPatience) {
    make(std::move(handlers));
    dialer_->start_on(pair_.take_link(), patience);
  }

  boost::asio::io_context io_;
  std::shared_ptr<const TransportFactory> factory_ = make_plain_factory();
  LinkPair pair_{io_};
  std::vector<Outcome> outcomes_;
  std::size_t early_bytes_ = 0;
  std::shared_ptr<LinkDialer> dialer_;
  std::weak_ptr<LinkDialer> watched_;
};

TEST_F(LinkDialerTest, AWelcomeIsOneOutcomeWithTheBytesAfterIt) {
  auto answer = encode(matching_welcome());
  answer.resize(answer.size() + 3);
  pair_.say(answer);
  start_on_pair(handlers());
  pair_.close();
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* link = std::get_if<LinkDialer::Welcomed>(&outcomes_.front());
  ASSERT_NE(link, nullptr);
  EXPECT_TRUE(link->link);
  EXPECT_EQ(link->welcome, matching_welcome());
  EXPECT_EQ(early_bytes_, 3U);
}

TEST_F(LinkDialerTest, ARefusalIsOneOutcome) {
  pair_.say(encode(Refused{.reason = Reason::overloaded, .text = "later"}));
  start_on_pair(handlers());
  pair_.close();
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* refused = std::get_if<Refused>(&outcomes_.front());
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->text, "later");
}

TEST_F(LinkDialerTest, ALinkThatClosesBeforeTheAnswerHasFailedOnce) {
  start_on_pair(handlers());
  EXPECT_GT(pair_.heard(), 0U);
  pair_.close();
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* failed = std::get_if<LinkDialer::Failed>(&outcomes_.front());
  ASSERT_NE(failed, nullptr);
  EXPECT_FALSE(failed->rejected);
  EXPECT_NE(failed->why.find("closed the connection before answering"), std::string::npos);
}

TEST_F(LinkDialerTest, ALinkThatDoesNotAnswerInTimeHasFailedOnce) {
  start_on_pair(handlers(), std::chrono::milliseconds(1));
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* failed = std::get_if<LinkDialer::Failed>(&outcomes_.front());
  ASSERT_NE(failed, nullptr);
  EXPECT_NE(failed->why.find("does not answer our HELLO"), std::string::npos) << failed->why;
}

TEST_F(LinkDialerTest, HasFailedOnceWhereNobodyListens) {
  tcp::acceptor unused(io_, tcp::v4());
  unused.bind(tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  make(handlers(), unused.local_endpoint().port());
  dialer_->start();
  io_.run();
  ASSERT_EQ(outcomes_.size(), 1U);
  const auto* failed = std::get_if<LinkDialer::Failed>(&outcomes_.front());
  ASSERT_NE(failed, nullptr);
  EXPECT_NE(failed->why.find("cannot connect to 127.0.0.1"), std::string::npos) << failed->why;
}

TEST_F(LinkDialerTest, SaysNothingWhenTheAttemptIsNotWantedAnyMore) {
  LinkDialer::Handlers unwanted = handlers();
  unwanted.hello = [] { return std::nullopt; };
  start_on_pair(std::move(unwanted));
  io_.run();
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(pair_.heard(), 0U);
}

TEST_F(LinkDialerTest, MayBeCancelledWhileItAsksForTheHello) {
  LinkDialer::Handlers cancelling = handlers();
  const auto alive = std::make_shared<int>(7);
  int seen = 0;
  cancelling.hello = [this, alive, &seen] {
    dialer_->cancel();
    seen = *alive;
    return opening_hello();
  };
  start_on_pair(std::move(cancelling));
  io_.run();
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(alive.use_count(), 1) << "its handlers are gone";
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(pair_.heard(), 0U) << "a cancelled attempt says no HELLO";
}

TEST_F(LinkDialerTest, HasNoOutcomeAfterCancel) {
  start_on_pair(handlers());
  pair_.say(encode(matching_welcome()));
  dialer_->cancel();
  io_.run();
  EXPECT_TRUE(outcomes_.empty());
}

TEST_F(LinkDialerTest, TheHandlerOfTheOutcomeOutlivesTheDialer) {
  LinkDialer::Handlers dropping = handlers();
  bool called = false;
  dropping.done = [this, &called, own = std::make_shared<int>(7)](Outcome) {
    std::exchange(dialer_, nullptr)->cancel();
    EXPECT_EQ(own.use_count(), 1);
    called = *own == 7;
  };
  start_on_pair(std::move(dropping));
  pair_.close();
  io_.run();
  EXPECT_TRUE(called);
  EXPECT_TRUE(watched_.expired());
}

}  // namespace
}  // namespace backedpipe::test
