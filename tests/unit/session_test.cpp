#include "session/session.hpp"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Kind = Session::Action::Kind;

const SessionId kId{{4, 2}};

// A client and a server session, and the link between them when there is one.
class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    client_ = make(Role::client);
    server_ = make(Role::server);
  }

  std::unique_ptr<Session> make(Role role) {
    SessionOptions options;
    options.pipe = {.replay_buffer_bytes = 256, .initial_window_bytes = 64, .max_window_bytes = 64};
    return std::make_unique<Session>(Session::Identity{.id = kId, .role = role, .service = "ssh"},
                                     *pool_, options, 1, now_);
  }

  std::vector<Session::Action> actions(Session& session) {
    std::vector<Session::Action> all;
    while (const auto action = session.next_action())
      all.push_back(*action);
    return all;
  }

  static std::vector<Kind> kinds(const std::vector<Session::Action>& actions) {
    std::vector<Kind> all;
    for (const auto& action : actions)
      all.push_back(action.kind);
    return all;
  }

  // The generation that the client wants dialled now.
  std::uint64_t dialled() {
    for (const auto& action : actions(*client_)) {
      if (action.kind == Kind::connect) return action.generation;
    }
    return 0;
  }

  void attach(std::uint64_t generation) {
    const auto hello = client_->hello(generation);
    ASSERT_TRUE(hello.has_value());
    const auto welcome = server_->attach(*hello, generation == 1, now_);
    ASSERT_TRUE(welcome.has_value());
    client_->welcomed(*welcome, now_);
    ASSERT_EQ(client_->pipe().state(), PipeState::connected);
  }

  void begin() {
    client_->start(now_);
    attach(dialled());
  }

  // Carries what one side has for the other.
  bool carry(Session& from, Session& to) {
    std::array<ConstBytes, 8> pieces;
    const std::size_t count = from.outgoing(now_, pieces);
    std::vector<std::byte> bytes;
    for (const ConstBytes piece : std::span(pieces).first(count)) {
      bytes.insert(bytes.end(), piece.begin(), piece.end());
    }
    if (bytes.empty()) return false;
    const std::uint64_t generation = from.pipe().generation();
    from.sent(generation, bytes.size());
    to.receive(generation, bytes, now_);
    return true;
  }

  void carry_all() {
    bool moved = true;
    while (moved) {
      moved = carry(*client_, *server_);
      moved |= carry(*server_, *client_);
      if (moved) continue;
      now_ += milliseconds(25);
      client_->tick(now_);
      server_->tick(now_);
      moved = carry(*client_, *server_);
      moved |= carry(*server_, *client_);
    }
  }

  std::string take(Session& session) {
    std::array<ConstBytes, 8> pieces;
    const std::size_t count = session.pipe().deliverable(pieces);
    const std::string text = text_of(std::span(pieces).first(count));
    session.delivered(text.size(), now_);
    return text;
  }

  void lose_link() {
    const boost::system::error_code reset = make_error_code(boost::system::errc::connection_reset);
    const std::uint64_t generation = client_->pipe().generation();
    client_->link_lost({LinkError::Component::reader, generation, reset}, now_);
    server_->link_lost({LinkError::Component::reader, generation, reset}, now_);
  }

  // Both applications have finished and have been told so.
  void finish_both() {
    client_->pipe().finish();
    server_->pipe().finish();
    carry_all();
    for (Session* session : {client_.get(), server_.get()}) {
      ASSERT_TRUE(session->pipe().end_due());
      session->end_delivered();
    }
  }

  TimePoint now_ = at(seconds(100));
  ArenaPool pool_;
  std::unique_ptr<Session> client_;
  std::unique_ptr<Session> server_;
};

TEST_F(SessionTest, OpensUntilItHasBeenWelcomedThenOnlyResumes) {
  client_->start(now_);
  const std::uint64_t first = dialled();
  EXPECT_TRUE(client_->hello(first)->open);
  EXPECT_EQ(client_->hello(first)->service, "ssh");
  client_->attempt_failed(first, false, now_);
  now_ += seconds(1);
  client_->tick(now_);
  const std::uint64_t second = dialled();
  EXPECT_EQ(second, first + 1);
  EXPECT_TRUE(client_->hello(second)->open) << "the WELCOME may have been lost";
  attach(second);
  carry_all();
  lose_link();
  const std::uint64_t third = dialled();
  EXPECT_FALSE(client_->hello(third)->open);
  EXPECT_EQ(client_->hello(third)->service, "");
}

TEST_F(SessionTest, GenerationsGoFromTheFirstToAnAutomaticAndAForcedOne) {
  begin();
  EXPECT_EQ(client_->pipe().generation(), 1U);
  carry_all();
  lose_link();
  attach(dialled());
  EXPECT_EQ(client_->pipe().generation(), 2U);
  EXPECT_TRUE(client_->reconnect(now_));
  EXPECT_EQ(client_->pipe().generation(), 3U);
}

TEST_F(SessionTest, ThreeForcedReconnectsMakeOneAttempt) {
  begin();
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(client_->reconnect(now_));
  EXPECT_EQ(kinds(actions(*client_)), (std::vector{Kind::close_link, Kind::connect}));
  EXPECT_FALSE(server_->reconnect(now_)) << "a server cannot dial";
}

TEST_F(SessionTest, ReattachingSendsOnlyWhatIsNewThreeTimesInARow) {
  begin();
  std::string expected;
  for (int cycle = 0; cycle < 3; ++cycle) {
    const std::string text = "hello world";
    client_->pipe().write(bytes_of(text));
    carry_all();
    EXPECT_EQ(take(*server_), text);
    carry_all();
    lose_link();
    EXPECT_EQ(server_->pipe().state(), PipeState::disconnected);
    now_ += seconds(3);
    client_->tick(now_);
    const std::uint64_t generation = dialled();
    const auto hello = client_->hello(generation);
    const auto welcome = server_->attach(*hello, false, now_);
    ASSERT_TRUE(welcome.has_value());
    EXPECT_EQ(welcome->position.received, text.size() * (cycle + 1U));
    client_->welcomed(*welcome, now_);
  }
}

// The origin waited for the old connection's reader before it let a new one take over.
TEST_F(SessionTest, KnownFault6ATakeoverOfAHalfOpenLinkWaitsForNothing) {
  begin();
  carry_all();
  // Only the client has noticed.
  client_->link_lost(
      {LinkError::Component::reader, 1, make_error_code(boost::system::errc::connection_reset)},
      now_);
  ASSERT_EQ(server_->pipe().state(), PipeState::connected);
  attach(dialled());
  const auto done = actions(*server_);
  ASSERT_EQ(kinds(done), (std::vector{Kind::close_link}));
  EXPECT_EQ(done[0].generation, 1U);
  EXPECT_EQ(server_->pipe().generation(), 2U);
}

TEST_F(SessionTest, AFailedTakeoverLeavesTheSessionAsItWas) {
  begin();
  carry_all();
  const auto before = server_->snapshot();
  const Hello stale{.session = kId, .generation = 1, .position = {}, .open = false, .service = {}};
  EXPECT_TRUE(fails_with(server_->attach(stale, false, now_), Reason::stale_generation));
  EXPECT_EQ(server_->snapshot(), before);
  EXPECT_EQ(server_->pipe().state(), PipeState::connected);
  EXPECT_TRUE(actions(*server_).empty());
}

// The origin's Close waited for a dial in flight.
TEST_F(SessionTest, KnownFault3ClosingCancelsADialInFlight) {
  client_->start(now_);
  const std::uint64_t generation = dialled();
  ASSERT_EQ(client_->pipe().state(), PipeState::reconnecting);
  client_->reset(Reason::closed_by_operator);
  const auto done = actions(*client_);
  ASSERT_EQ(kinds(done), (std::vector{Kind::reset_application, Kind::close_link, Kind::ended}));
  EXPECT_EQ(done[1].generation, generation);
  EXPECT_FALSE(client_->hello(generation)) << "a late completion of that dial does nothing";
}

TEST_F(SessionTest, ASessionThatIsGivenUpIsNotOpenedJustToBeReset) {
  client_->start(now_);
  const std::uint64_t first = dialled();
  EXPECT_TRUE(client_->hello(first).has_value());
  client_->attempt_failed(first, false, now_);
  client_->reset(Reason::application_reset);
  EXPECT_FALSE(client_->ended()) << "the server may have opened it";
  now_ += seconds(1);
  client_->tick(now_);
  const std::uint64_t second = dialled();
  EXPECT_FALSE(client_->hello(second)->open);
  client_->refused(second, Reason::unknown_session, now_);
  EXPECT_TRUE(client_->ended());
}

TEST_F(SessionTest, ARejectedIdentityEndsOnlyASessionThatNobodyHasWelcomed) {
  client_->start(now_);
  client_->attempt_failed(dialled(), true, now_);
  const auto done = actions(*client_);
  EXPECT_EQ(kinds(done), (std::vector{Kind::reset_application, Kind::ended}));
  EXPECT_EQ(done[0].reason, Reason::not_authorised);

  client_ = make(Role::client);
  server_ = make(Role::server);
  begin();
  lose_link();
  client_->attempt_failed(dialled(), true, now_);
  EXPECT_FALSE(client_->ended()) << "whoever sits in the middle can forge a TLS alert";
  EXPECT_TRUE(client_->next_attempt().has_value());
}

TEST_F(SessionTest, KnownFault9OnlyTransientRefusalsAreTriedAgain) {
  begin();
  lose_link();
  client_->refused(dialled(), Reason::shutting_down, now_);
  EXPECT_FALSE(client_->ended());
  now_ += seconds(3);
  client_->tick(now_);
  client_->refused(dialled(), Reason::unknown_session, now_);
  const auto done = actions(*client_);
  EXPECT_EQ(kinds(done), (std::vector{Kind::reset_application, Kind::ended}));
  EXPECT_EQ(done[1].reason, Reason::unknown_session);
}

TEST_F(SessionTest, ACleanEndIsToldByTheServerAndHeardByTheClient) {
  begin();
  finish_both();
  carry_all();
  EXPECT_TRUE(client_->ended());
  EXPECT_TRUE(server_->ended());
  EXPECT_EQ(actions(*client_).back().reason, Reason::closed);
  EXPECT_EQ(actions(*server_).back().reason, Reason::closed);
}

TEST_F(SessionTest, AClientLingersUntilItKnowsThatTheServerIsDone) {
  begin();
  finish_both();
  // The server's acknowledgement of the client's FIN arrives; the client's of the server's does
  // not.
  while (!client_->pipe().done() && carry(*server_, *client_)) {
  }
  ASSERT_TRUE(client_->pipe().done());
  EXPECT_TRUE(client_->application_done());
  EXPECT_FALSE(client_->ended());
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  lose_link();
  EXPECT_FALSE(client_->ended());
  attach(dialled());
  carry_all();
  EXPECT_TRUE(client_->ended());
  EXPECT_TRUE(server_->ended());
}

TEST_F(SessionTest, AResetOfTheClientsApplicationReachesTheTargetAndIsAnswered) {
  begin();
  client_->pipe().write(bytes_of("last words"));
  client_->reset(Reason::application_reset);
  EXPECT_TRUE(client_->application_done());
  carry(*client_, *server_);
  carry(*client_, *server_);
  const auto told = server_->next_action();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->kind, Kind::reset_application);
  EXPECT_EQ(told->reason, Reason::application_reset);
  EXPECT_EQ(take(*server_), "last words") << "what came before a reset is there to be taken";
  EXPECT_FALSE(client_->ended());
  carry_all();
  EXPECT_TRUE(server_->ended());
  EXPECT_TRUE(client_->ended());
}

TEST_F(SessionTest, AResetWhileTheLinkIsDownIsToldOverTheNextOne) {
  begin();
  carry_all();
  lose_link();
  client_->reset(Reason::application_reset);
  EXPECT_FALSE(client_->ended());
  attach(dialled());
  carry_all();
  EXPECT_TRUE(server_->ended());
  EXPECT_TRUE(client_->ended());
}

TEST_F(SessionTest, ATargetThatCannotBeReachedIsAResetWithThatReason) {
  begin();
  server_->reset(Reason::target_refused);
  carry_all();
  EXPECT_TRUE(server_->ended());
  const auto done = actions(*client_);
  EXPECT_EQ(done.front().kind, Kind::reset_application);
  EXPECT_EQ(done.front().reason, Reason::target_refused);
  EXPECT_TRUE(client_->ended());
}

TEST_F(SessionTest, AServerThatClaimsACleanEndTooEarlyIsNotBelieved) {
  begin();
  client_->pipe().write(bytes_of("unfinished"));
  server_->pipe().reset(Reason::closed);
  carry_all();
  const auto done = actions(*client_);
  EXPECT_EQ(done.front().kind, Kind::reset_application);
  EXPECT_EQ(done.front().reason, Reason::protocol_error);
}

TEST_F(SessionTest, ARefusalAsClosedIsBelievedOnlyWhenBothStreamsHaveEnded) {
  begin();
  carry_all();
  lose_link();
  client_->refused(dialled(), Reason::closed, now_);
  EXPECT_EQ(actions(*client_).front().reason, Reason::protocol_error);
}

TEST_F(SessionTest, OffsetsThatDoNotFitEndTheSessionOnTheServer) {
  begin();
  carry_all();
  lose_link();
  Hello lying = *client_->hello(dialled());
  lying.position.received = 5;
  EXPECT_TRUE(fails_with(server_->attach(lying, false, now_), Reason::future_sequence));
  EXPECT_EQ(actions(*server_).back().reason, Reason::future_sequence);
  EXPECT_TRUE(server_->ended());
}

TEST_F(SessionTest, OffsetsThatDoNotFitEndTheSessionOnTheClient) {
  begin();
  carry_all();
  lose_link();
  const std::uint64_t generation = dialled();
  Welcome lying = *server_->attach(*client_->hello(generation), false, now_);
  lying.position.received = 5;
  client_->welcomed(lying, now_);
  const auto told = client_->next_action();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->kind, Kind::reset_application);
  EXPECT_EQ(told->reason, Reason::future_sequence);
  carry_all();
  EXPECT_TRUE(server_->ended()) << "the server is told";
}

TEST_F(SessionTest, MalformedFramesEndTheLinkOnly) {
  begin();
  carry_all();
  client_->receive(1, bytes_of("this is no frame"), now_);
  EXPECT_FALSE(client_->ended());
  EXPECT_EQ(kinds(actions(*client_)), (std::vector{Kind::close_link, Kind::connect}));
}

TEST_F(SessionTest, AnAcknowledgementOfBytesNeverSentEndsTheSession) {
  begin();
  carry_all();
  std::array<std::byte, kMaxFramePrefixBytes> frame;
  const std::size_t size = encode(Frame{FrameType::ack, 77, 0}, 0, frame);
  server_->receive(1, ConstBytes(frame).first(size), now_);
  EXPECT_EQ(server_->next_action()->reason, Reason::future_sequence);
  carry_all();
  EXPECT_TRUE(server_->ended());
}

TEST_F(SessionTest, ADetachedSessionLivesForTheResumeTimeout) {
  begin();
  carry_all();
  lose_link();
  now_ += std::chrono::hours(24) - seconds(1);
  server_->tick(now_);
  EXPECT_FALSE(server_->ended());
  EXPECT_LE(*server_->deadline(now_), now_ + seconds(1));
  now_ += seconds(1);
  server_->tick(now_);
  client_->tick(now_);
  EXPECT_EQ(actions(*server_).back().reason, Reason::expired);
  EXPECT_EQ(actions(*client_).back().reason, Reason::expired);
}

TEST_F(SessionTest, ALinkThatIsSilentIsAskedThenSuspectThenDead) {
  begin();
  carry_all();
  const TimePoint silent_since = now_;
  const auto tick_at = [&](Duration after) {
    now_ = silent_since + after;
    client_->tick(now_);
    std::array<ConstBytes, 4> pieces;
    std::size_t bytes = 0;
    const std::size_t count = client_->outgoing(now_, pieces);
    for (const ConstBytes piece : std::span(pieces).first(count))
      bytes += piece.size();
    client_->sent(1, bytes);
    return bytes;
  };
  EXPECT_EQ(tick_at(seconds(4)), 0U);
  EXPECT_GT(tick_at(seconds(5)), 0U) << "a PING";
  EXPECT_FALSE(client_->suspect());
  tick_at(seconds(8));
  EXPECT_TRUE(client_->suspect());
  EXPECT_EQ(client_->pipe().state(), PipeState::connected) << "suspicion cuts nothing";
  tick_at(seconds(15));
  EXPECT_EQ(kinds(actions(*client_)), (std::vector{Kind::close_link, Kind::connect}));
}

TEST_F(SessionTest, ASenderWithoutAnswersAsksSoonerThanAnIdleLink) {
  begin();
  carry_all();
  client_->pipe().write(bytes_of("into the void"));
  std::array<ConstBytes, 4> pieces;
  std::size_t bytes = 0;
  for (const ConstBytes piece : std::span(pieces).first(client_->outgoing(now_, pieces))) {
    bytes += piece.size();
  }
  client_->sent(1, bytes);
  now_ += seconds(1);
  client_->tick(now_);
  EXPECT_GT(client_->outgoing(now_, pieces), 0U) << "a PING after a third of the suspect time";
}

TEST_F(SessionTest, APeerWhoseApplicationDoesNotReadIsNotSuspect) {
  begin();
  client_->pipe().write(bytes_of(stream_text(0, 200)));
  for (int second = 0; second < 60; ++second) {
    now_ += seconds(1);
    client_->tick(now_);
    server_->tick(now_);
    while (carry(*client_, *server_) || carry(*server_, *client_)) {
    }
    EXPECT_FALSE(client_->suspect());
  }
  EXPECT_EQ(client_->pipe().state(), PipeState::connected);
}

TEST_F(SessionTest, GoesOnFromASnapshotAsAfterALostLink) {
  begin();
  client_->pipe().write(bytes_of("before and "));
  carry_all();
  const auto state = client_->snapshot();
  client_ = make(Role::server);
  ASSERT_TRUE(client_->restore(state).has_value());
  EXPECT_EQ(client_->role(), Role::client);
  EXPECT_EQ(client_->snapshot(), state);
  client_->pipe().write(bytes_of("after"));
  client_->start(now_);
  attach(dialled());
  carry_all();
  EXPECT_EQ(take(*server_), "before and after");
}

TEST_F(SessionTest, RefusesEveryTruncatedSnapshot) {
  begin();
  client_->pipe().write(bytes_of("some text"));
  const auto state = client_->snapshot();
  for (std::size_t size = 0; size < state.size(); ++size) {
    EXPECT_FALSE(make(Role::client)->restore(ConstBytes(state).first(size)).has_value());
  }
}

}  // namespace
}  // namespace backedpipe::test
