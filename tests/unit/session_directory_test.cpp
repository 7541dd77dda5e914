#include "net/shared/session_directory.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "tests/unit/accept_support.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::minutes;
using Ticket = Admission::Ticket;

constexpr const char* kLaptop = "laptop";

// A worker that records the requests to it.
class Holder final : public SessionHolder {
 public:
  Holder() : SessionHolder(io) {}
  void run() {
    io.restart();
    io.poll();
  }

  boost::asio::io_context io;
  std::vector<SessionId> expired;
  std::vector<Ticket> broken_off;
  std::vector<HeardLink> links;
  std::vector<std::byte> early;  // of the last link

 private:
  void take_over_here(HeardLink link) override {
    early.assign(link.early.begin(), link.early.end());
    links.push_back(std::move(link));
  }
  void expire_here(const SessionId& session) override { expired.push_back(session); }
  void make_room_here(Ticket ticket) override { broken_off.push_back(ticket); }
};

class SessionDirectoryTest : public testing::Test {
 protected:
  SessionDirectoryTest() { limit(100); }

  void limit(std::size_t max_sessions, std::size_t max_handshakes = 100) {
    directory_.limit({.max_sessions = max_sessions, .max_sessions_per_identity = max_sessions},
                     max_handshakes);
  }
  SessionDirectory::Ruling rule(const Hello& hello, Holder& asker, bool draining = false) {
    return directory_.rule(hello, kLaptop, Reason::none, asker, draining, now_);
  }
  bool opens(const Hello& hello, Holder& asker) {
    return std::holds_alternative<SessionDirectory::Open>(rule(hello, asker));
  }
  SessionHolder* resumes_at(const Hello& hello, Holder& asker) {
    const auto ruling = rule(hello, asker);
    const auto* const resume = std::get_if<SessionDirectory::Resume>(&ruling);
    return resume != nullptr ? &resume->holder : nullptr;
  }
  Reason refused(const Hello& hello, Holder& asker, bool draining = false) {
    const auto ruling = rule(hello, asker, draining);
    const auto* const refuse = std::get_if<SessionDirectory::Refuse>(&ruling);
    return refuse != nullptr ? refuse->reason : Reason::none;
  }

  SessionDirectory directory_;
  Holder first_;
  Holder second_;
  TimePoint now_{};
};

TEST_F(SessionDirectoryTest, OfTwoHellosAtOnceOneOpensAndOneResumes) {
  EXPECT_TRUE(opens(opening(1, 1), first_));
  EXPECT_EQ(resumes_at(opening(1, 2), second_), &first_);
  EXPECT_EQ(resumes_at(resuming(1, 3), second_), &first_);
  EXPECT_EQ(resumes_at(resuming(1, 4), first_), &first_);
}

TEST_F(SessionDirectoryTest, OfTwoThreadsThatHearOneSessionOneOpensIt) {
  constexpr std::uint8_t kSessions = 100;
  std::atomic<int> opened = 0;
  std::vector<std::thread> threads;
  for (Holder* const asker : {&first_, &second_}) {
    threads.emplace_back([this, asker, &opened] {
      for (std::uint8_t i = 0; i < kSessions; ++i)
        opened += opens(opening(i), *asker) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(opened, kSessions);
}

TEST_F(SessionDirectoryTest, WhileDrainingSessionsAreResumedAndNotOpened) {
  ASSERT_TRUE(opens(opening(1), first_));
  EXPECT_EQ(refused(opening(2), first_, true), Reason::shutting_down);
  EXPECT_EQ(refused(resuming(1), first_, true), Reason::none);
}

TEST_F(SessionDirectoryTest, AnEvictedSessionEndsAtOnceAndItsWorkerIsToldLater) {
  limit(1);
  ASSERT_TRUE(opens(opening(1), first_));
  EXPECT_TRUE(opens(opening(2), second_));
  EXPECT_EQ(refused(resuming(1), second_), Reason::expired);
  EXPECT_TRUE(first_.expired.empty()) << "told on its own thread only";
  first_.run();
  second_.run();
  EXPECT_EQ(first_.expired, std::vector{id_of(1)});
  EXPECT_TRUE(second_.expired.empty());
}

TEST_F(SessionDirectoryTest, TheEndOfAnEvictedSessionOnItsWorkerChangesNothing) {
  limit(1);
  ASSERT_TRUE(opens(opening(1), first_));
  ASSERT_TRUE(opens(opening(2), second_));
  directory_.detached(id_of(1), now_);
  directory_.end(id_of(1), Reason::closed, now_);
  EXPECT_EQ(directory_.end_of(id_of(1), kLaptop), Reason::expired);
  EXPECT_EQ(resumes_at(resuming(2), first_), &second_);
}

TEST_F(SessionDirectoryTest, TheLateEndOfAnEvictedSessionIsNotThatOfItsSuccessor) {
  limit(1);
  ASSERT_TRUE(opens(opening(1), first_));
  ASSERT_TRUE(opens(opening(2), second_));
  EXPECT_EQ(refused(opening(1, 2), second_), Reason::overloaded) << "its worker still has it";
  directory_.end(id_of(1), Reason::expired, now_);
  EXPECT_TRUE(opens(opening(1, 2), second_));
  EXPECT_EQ(resumes_at(resuming(1, 3), first_), &second_);
}

TEST_F(SessionDirectoryTest, ASessionWithALinkIsNotEvicted) {
  limit(1);
  ASSERT_TRUE(opens(opening(1), first_));
  directory_.attached(id_of(1));
  EXPECT_EQ(refused(opening(2), second_), Reason::session_limit);
  directory_.detached(id_of(1), now_);
  EXPECT_TRUE(opens(opening(2), second_));
}

TEST_F(SessionDirectoryTest, TellsHowASessionEndedForTwoMinutesAndOnlyToItsOwner) {
  ASSERT_TRUE(opens(opening(1), first_));
  directory_.end(id_of(1), Reason::closed, now_);
  EXPECT_EQ(refused(resuming(1), second_), Reason::closed);
  EXPECT_EQ(refused(opening(1), second_), Reason::closed) << "it does not begin again";
  EXPECT_EQ(directory_.end_of(id_of(1), "desktop"), Reason::not_authorised);
  now_ += minutes(2);
  directory_.tick(now_);
  EXPECT_EQ(refused(resuming(1), second_), Reason::unknown_session);
}

TEST_F(SessionDirectoryTest, AHandshakeThatHasToMakeRoomIsBrokenOffOnItsOwnWorker) {
  limit(100, 1);
  const Ticket first = directory_.enter("192.0.2.1", first_);
  const Ticket second = directory_.enter("192.0.2.1", second_);
  first_.run();
  EXPECT_EQ(first_.broken_off, std::vector{first});
  directory_.leave(first);
  const Ticket third = directory_.enter("192.0.2.1", first_);
  first_.run();
  second_.run();
  EXPECT_EQ(second_.broken_off, std::vector{second});
  directory_.leave(third);
  directory_.enter("192.0.2.1", second_);
  first_.run();
  EXPECT_EQ(first_.broken_off, std::vector{first}) << "nobody had to make room";
}

TEST_F(SessionDirectoryTest, ALinkIsTakenOverOnTheOtherThreadWithWhatCameAfterItsHello) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  const FarEnd far(pair[1]);
  const std::shared_ptr<const TransportFactory> factory = make_plain_factory();
  auto transport =
      factory->wrap(StreamSocket(first_.io, StreamSocket::protocol_type(AF_UNIX, 0), pair[0]));
  std::vector<std::byte> early{std::byte{1}, std::byte{2}};
  ASSERT_TRUE(second_.take_over({std::move(transport), resuming(1), early}));
  early.assign(2, std::byte{0});
  first_.run();
  EXPECT_TRUE(second_.links.empty());
  second_.run();
  ASSERT_EQ(second_.links.size(), 1U);
  EXPECT_EQ(second_.links[0].hello, resuming(1));
  EXPECT_EQ(second_.early, (std::vector{std::byte{1}, std::byte{2}}));
  EXPECT_TRUE(second_.links[0].transport->socket().get_executor() == second_.io.get_executor());
  second_.links.clear();
}

}  // namespace
}  // namespace backedpipe::test
