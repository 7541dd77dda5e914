#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using std::chrono::hours;

// --- a client and a server

class TwoSessions : public testing::Test {
 protected:
  void connect() {
    if (client_->pipe().generation() == 0) client_->start(kStart);
    if (client_->pipe().state() == PipeState::disconnected) {
      client_->tick(client_->next_attempt().value_or(kStart), nullptr);
    }
    client_.actions();
    const auto hello = client_->begin_handshake(client_->pipe().generation(), kStart, nullptr);
    ASSERT_TRUE(hello);
    const auto welcome = server_->attach(*hello, hello->open, kStart);
    ASSERT_TRUE(welcome.has_value());
    client_->welcomed(*welcome, kStart);
    client_.actions();
    server_.actions();
  }

  // Runs until neither side has anything to say.
  void run() {
    while (true) {
      const std::string from_client = client_.say();
      if (!from_client.empty()) server_.hear(from_client);
      const std::string from_server = server_.say();
      if (!from_server.empty()) client_.hear(from_server);
      if (from_client.empty() && from_server.empty()) return;
    }
  }

  // As run(), but delayed acknowledgements go out as well.
  void run_on() {
    run();
    client_->tick(at(seconds(1)), nullptr);
    server_->tick(at(seconds(1)), nullptr);
    run();
  }

  void lose_links() {
    client_.lose_link();
    server_.lose_link();
  }

  Subject client_{Role::client};
  Subject server_{Role::server};
};

TEST_F(TwoSessions, EndCleanlyOnBothSides) {
  connect();
  client_.write("question");
  client_.finish();
  run();
  EXPECT_EQ(server_.read(), "question$");
  server_.write("answer");
  server_.finish();
  run();
  EXPECT_EQ(client_.read(), "answer$");
  run_on();
  EXPECT_EQ(server_.actions(), "close 1; ended: closed");
  EXPECT_EQ(client_.actions(), "close 1; ended: closed");
  EXPECT_TRUE(server_->link_reusable());
  EXPECT_TRUE(client_->link_reusable());
}

TEST_F(TwoSessions, HalfCloseLeavesTheOtherDirectionOpen) {
  connect();
  client_.finish();
  run();
  EXPECT_EQ(server_.read(), "$");
  for (int i = 0; i < 3; ++i) {
    server_.write("more");
    run_on();
    EXPECT_EQ(client_.read(), "more");
  }
  EXPECT_EQ(server_.actions() + client_.actions(), "");
}

TEST_F(TwoSessions, GoOnInNewProcessesWhereTheyWere) {
  connect();
  client_.write("before ");
  server_.write("hence ");
  run();
  EXPECT_EQ(server_.take(3, kStart), "bef");
  client_.write("and after");
  client_.finish();
  client_.move_to_new_process();
  server_.move_to_new_process();
  EXPECT_EQ(client_->id(), kId);
  EXPECT_EQ(client_->service(), "ssh");
  EXPECT_EQ(client_->links(), 1U);

  client_->start(kStart);
  EXPECT_EQ(client_.actions(), "connect 2");
  connect();
  run();
  EXPECT_EQ(server_.read(), "ore and after$");
  EXPECT_EQ(client_.read(), "hence ");
  EXPECT_FALSE(client_->begin_handshake(2, kStart, nullptr)) << "it is attached";
}

TEST_F(TwoSessions, ARestoredClientResumesAndDoesNotOpenAgain) {
  connect();
  client_.move_to_new_process();
  client_->start(kStart);
  const auto hello = client_->begin_handshake(2, kStart, nullptr);
  ASSERT_TRUE(hello);
  EXPECT_FALSE(hello->open);
}

TEST_F(TwoSessions, ARestoredResetIsStillSaid) {
  connect();
  client_->reset(Reason::application_reset);
  client_.move_to_new_process();
  EXPECT_TRUE(client_->application_done());
  client_->start(kStart);
  connect();
  run();
  EXPECT_EQ(server_.actions(),
            "reset application: application_reset; close 2; ended: application_reset");
  EXPECT_EQ(client_.actions(), "close 2; ended: application_reset");
}

TEST(SessionSnapshot, RefusesWhatIsNone) {
  Subject whole(Role::client);
  const std::vector<std::byte> state = whole->snapshot();
  for (std::size_t size = 0; size < state.size(); ++size) {
    Subject fresh(Role::client);
    EXPECT_FALSE(fresh->restore(ConstBytes(state).first(size)).has_value()) << size;
  }
  std::vector<std::byte> other_role = state;
  other_role[20] = std::byte{2};
  Subject fresh(Role::client);
  EXPECT_TRUE(fails_with(fresh->restore(other_role), Reason::protocol_error));
}

// --- the origin's faults (those of the pipe are tested with the pipe)

TEST_F(ClientSession, KnownFault3CloseCancelsADialUnderWay) {
  client_->start(kStart);
  client_->reset(Reason::closed_by_operator);
  EXPECT_EQ(client_.actions(),
            "connect 1; reset application: closed_by_operator; close 1; ended: closed_by_operator");
  // The outcome of the dial does not matter any more.
  EXPECT_FALSE(client_->begin_handshake(1, kStart, nullptr));
  client_->attempt_failed(1, false, kStart);
  EXPECT_EQ(client_.actions(), "");
  EXPECT_FALSE(client_->next_attempt());
}

TEST_F(ClientSession, KnownFault10ItTriesForAsLongAsTheSessionLives) {
  attach_usefully();
  client_.write("still here");
  client_.lose_link();
  client_.actions();
  TimePoint now = kStart;
  std::uint64_t generation = 2;
  for (; now < at(hours(23)); ++generation) {
    client_->attempt_failed(generation, false, now);
    const TimePoint next = await_attempt();
    ASSERT_GT(next, now);
    ASSERT_LE(next, now + seconds(10));
    now = next;
    ASSERT_EQ(client_.actions(), "connect " + std::to_string(generation + 1));
  }
  ASSERT_TRUE(client_->begin_handshake(generation, kStart, nullptr));
  welcome(generation, peer_at(0), now);
  EXPECT_EQ(payload_of(client_.say_frames(now)), "still here");
}

}  // namespace
}  // namespace backedpipe::test
