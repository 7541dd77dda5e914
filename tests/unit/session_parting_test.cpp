// A daemon that ends and leaves its sessions to the next process, and what its peer makes of that.
#include "session/pump/session_pump.hpp"
#include "tests/support/ledger_fixture.hpp"
#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

std::string parting_frame(std::uint64_t milliseconds_away) {
  return frame_text(FrameType::parting, 0, milliseconds_away);
}

class Parting : public ClientSession {
 protected:
  Result<Welcome> attach_server(std::uint64_t generation, Extensions offers,
                                TimePoint now = kStart) {
    return server_->attach({.session = kId,
                            .generation = generation,
                            .position = peer_at(0),
                            .open = generation == 1,
                            .service = generation == 1 ? "ssh" : "",
                            .offers = offers},
                           generation == 1, now);
  }

  Subject server_{Role::server};
};

// --- the daemon that ends

TEST_F(Parting, TheLastFrameSaysForHowLong) {
  attach();
  client_.say();
  client_.write("not sent any more");
  client_->park(milliseconds(1500), kStart);
  const auto frames = client_.say_frames();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].type, FrameType::parting);
  EXPECT_EQ(frames[0].value, 1500U);
  EXPECT_EQ(client_.actions(), "") << "the link is needed until the frame has been taken";
  client_->tick(kStart, nullptr);
  EXPECT_EQ(client_.actions(), "close 1");
  EXPECT_TRUE(client_->end_on_its_way());
  EXPECT_EQ(client_->grace(), milliseconds(1500));
}

TEST_F(Parting, WhatTheLinkHasBegunToTakeGoesFirst) {
  attach();
  client_.say();
  client_.write("0123456789");
  const std::string offered = client_.offers(kStart);
  client_->sent(1, 20);
  client_->park(seconds(1), kStart);
  const std::string rest = client_.say();
  ASSERT_TRUE(rest.starts_with(offered.substr(20)));
  const auto frames = frames_in(offered.substr(0, 20) + rest);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].type, FrameType::data);
  EXPECT_EQ(frames[1].type, FrameType::parting);
}

TEST_F(Parting, AnOlderPeerIsToldNothing) {
  ASSERT_TRUE(attach_server(1, {.reuse = true}).has_value());
  server_.say();
  server_->park(seconds(1), kStart);
  EXPECT_EQ(server_.say(), "");
  EXPECT_EQ(server_.actions(), "close 1");
  EXPECT_FALSE(server_->grace()) << "the peer does not know that it must hurry";
}

TEST_F(Parting, ALinkThatBreaksBeforeHasSaidNothing) {
  attach();
  client_.say();
  client_->park(seconds(1), kStart);
  client_.offers(kStart);
  client_->sent(1, 23);  // all but one byte
  client_.lose_link();
  EXPECT_FALSE(client_->grace());
  EXPECT_EQ(client_.actions(), "") << "it does not dial";
}

TEST_F(Parting, AParkedSessionGivesUpItsAttempts) {
  client_->start(kStart);
  EXPECT_EQ(client_.actions(), "connect 1");
  client_->park(seconds(1), kStart);
  EXPECT_EQ(client_.actions(), "close 1");
  client_->try_now(kStart);
  EXPECT_FALSE(client_->reconnect(kStart));
  client_->tick(at(minutes(1)), nullptr);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_FALSE(client_->deadline(kStart));
}

TEST_F(Parting, AParkedSessionTakesNoOtherLink) {
  ASSERT_TRUE(attach_server(1, {.parting = true}).has_value());
  server_->park(seconds(1), kStart);
  const auto refused = attach_server(2, {.parting = true});
  EXPECT_EQ(reason_of(refused.error()), Reason::shutting_down);
}

TEST_F(Parting, AParkedSessionDoesNotExpire) {
  server_->park(seconds(1), kStart);
  server_->tick(at(hours(25)), nullptr);
  EXPECT_EQ(server_.actions(), "");
}

// --- its peer

TEST_F(Parting, AClientDialsAtOnceAndEndsWhenTheTimeIsOver) {
  attach_usefully();
  client_.actions();
  client_.hear(parting_frame(2000), kStart);
  EXPECT_EQ(client_.actions(), "close 1; connect 2");
  EXPECT_EQ(client_->grace(), seconds(2));
  client_->tick(at(milliseconds(1999)), nullptr);
  EXPECT_FALSE(client_->over());
  client_->tick(at(milliseconds(2000)), nullptr);
  EXPECT_TRUE(client_->over());
  EXPECT_TRUE(client_.actions().ends_with("reset application: expired; close 2; ended: expired"));
}

TEST_F(Parting, TheCandidateBesideALinkThatEndsIsTheNextLink) {
  attach_usefully();
  client_.actions();
  client_->distrust(kStart, nullptr);
  const auto pings = only(FrameType::ping, client_.say_frames());
  ASSERT_EQ(pings.size(), 1U);
  EXPECT_EQ(client_.actions(), "connect 2");
  client_.hear(frame_text(FrameType::pong, 0, pings[0].value) + parting_frame(2000));
  EXPECT_EQ(client_.actions(), "close 1");
  EXPECT_TRUE(client_->begin_handshake(2, kStart, nullptr));
}

TEST_F(Parting, AServerWaitsAndEndsWhenTheTimeIsOver) {
  ASSERT_TRUE(attach_server(1, {.parting = true}).has_value());
  server_.hear(parting_frame(60'000), at(seconds(5)));
  EXPECT_EQ(server_.actions(), "close 1");
  server_->tick(at(seconds(64)), nullptr);
  EXPECT_EQ(server_.actions(), "");
  server_->tick(at(seconds(65)), nullptr);
  EXPECT_EQ(server_.actions(), "reset application: expired; ended: expired");
}

TEST_F(Parting, ANewLinkEndsTheWait) {
  ASSERT_TRUE(attach_server(1, {.parting = true}).has_value());
  server_.hear(parting_frame(60'000));
  ASSERT_TRUE(attach_server(2, {.parting = true}).has_value());
  EXPECT_FALSE(server_->grace());
  server_.lose_link();
  server_->tick(at(minutes(5)), nullptr);
  EXPECT_FALSE(server_->over());
}

TEST_F(Parting, NothingAfterItCounts) {
  ASSERT_TRUE(attach_server(1, {.parting = true}).has_value());
  server_.hear(parting_frame(60'000) + data_frame(0, "no"));
  EXPECT_EQ(server_.read(), "");
  ASSERT_TRUE(attach_server(2, {.parting = true}).has_value());
  server_.hear(data_frame(0, "yes"));
  EXPECT_EQ(server_.read(), "yes");
}

TEST_F(Parting, ItIsABrokenLinkWhereItWasNotAgreed) {
  ASSERT_TRUE(attach_server(1, {}).has_value());
  server_.hear(parting_frame(1000));
  EXPECT_EQ(server_.actions(), "close 1");
  EXPECT_EQ(reason_of(server_->pipe().last_error()->error), Reason::protocol_error);
  EXPECT_FALSE(server_->grace());
}

TEST_F(Parting, ATimeBeyondAllMeasureIsOnlyLong) {
  ASSERT_TRUE(attach_server(1, {.parting = true}).has_value());
  server_.hear(parting_frame(UINT64_MAX));
  server_->tick(at(hours(23)), nullptr);
  EXPECT_FALSE(server_->over());
  server_->tick(at(hours(24)), nullptr);
  EXPECT_TRUE(server_->over()) << "resume_timeout holds as well";
}

// --- the next process

class PartingLedger : public testing::Test {
 protected:
  void begin() {
    session_.emplace(Session::Identity{.id = kId, .role = Role::server, .service = "ssh"}, *pool_,
                     small_options(), 1, kStart,
                     LedgerEntry(memory_.ledger, {.id = kId, .role = 1, .detached_since = 1}));
    ASSERT_TRUE(session_
                    ->attach({.session = kId,
                              .generation = 1,
                              .position = peer_at(0),
                              .open = true,
                              .service = "ssh",
                              .offers = {.parting = true}},
                             true, kStart)
                    .has_value());
    stores_.take();
  }

  ArenaPool pool_;
  LedgerMemory memory_;
  std::optional<Session> session_;
  Stores stores_{memory_};
};

TEST_F(PartingLedger, TheTimeIsRecordedAfterTheLossOfTheLink) {
  begin();
  session_->receive(1, bytes_of(parting_frame(3000)), at(seconds(7)));
  EXPECT_EQ(stores_.take(), "confirmed, detached 7000000000, grace 3000000000");
  ASSERT_TRUE(session_
                  ->attach({.session = kId, .generation = 2, .position = peer_at(0), .service = {}},
                           false, at(seconds(8)))
                  .has_value());
  EXPECT_EQ(stores_.take(), "generation 2, links 2, grace 0, detached 0");
}

TEST_F(PartingLedger, WhatWasSaidHoldsInTheNextProcess) {
  begin();
  std::array<ConstBytes, 8> pieces;
  session_->park(seconds(30), kStart);
  while (const std::size_t count = session_->outgoing(kStart, pieces))
    session_->sent(1, text_of(std::span(pieces).first(count)).size());
  session_->tick(kStart, nullptr);
  EXPECT_EQ(memory_.records[0].grace, 30'000'000'000U);

  Subject next(Role::server);
  next->without_link_since(kStart, Duration(memory_.records[0].grace));
  next->tick(at(seconds(29)), nullptr);
  EXPECT_FALSE(next->over());
  next->tick(at(seconds(30)), nullptr);
  EXPECT_TRUE(next->over());
}

}  // namespace
}  // namespace backedpipe::test
