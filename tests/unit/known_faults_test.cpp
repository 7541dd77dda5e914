// Faults that earlier implementations of this idea have had, so that none of them comes back.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr TimePoint kStart = at(seconds(0));

class KnownFault : public OnePipe {};

TEST_F(KnownFault, AnIdleReadBlocksNeitherReconnectNorClose) {
  attach();
  const std::string half = data_frame(0, "hello").substr(0, 20);
  receive(pipe_, half).value();
  EXPECT_EQ(pipe_.reconnect().value(), 2U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  receive(pipe_, half).value();
  pipe_.close();
  EXPECT_EQ(pipe_.state(), PipeState::closed);
}

TEST_F(KnownFault, AFailedReplayDoesNotWedgeThePipe) {
  attach();
  write(pipe_, stream_text(0, 200));
  take_all(pipe_, kStart);
  lose_link();
  for (std::uint64_t attempt = 2; attempt < 10; ++attempt) {
    ASSERT_TRUE(pipe_.attach(attempt, peer_at(0), kStart).has_value());
    take(pipe_, kStart, 30 * attempt);
    ASSERT_TRUE(pipe_.detach(link_error(attempt, LinkError::Component::writer)));
  }
  EXPECT_EQ(write(pipe_, stream_text(200, 20)), 20U);
  ASSERT_TRUE(pipe_.attach(10, peer_at(0), kStart).has_value());
  EXPECT_EQ(payload_of(take_frames(pipe_)), stream_text(0, 220));
}

TEST_F(KnownFault, AStaleErrorHidesNoCurrentOne) {
  attach();
  lose_link();
  attach();
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::reader)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::writer)));
  EXPECT_TRUE(pipe_.detach(link_error(2, LinkError::Component::writer)));
  EXPECT_EQ(pipe_.last_error()->generation, 2U);
  EXPECT_EQ(pipe_.last_error()->component, LinkError::Component::writer);
}

TEST_F(KnownFault, TheOffsetIsTakenWhenTheOldLinkCanChangeItNoMore) {
  attach();
  receive(pipe_, data_frame(0, "hello")).value();
  pipe_.reconnect().value();
  const Position position = pipe_.take_position();
  EXPECT_EQ(pipe_.receive(1, bytes_of(data_frame(5, " world")), kStart).value(), 30U);
  EXPECT_EQ(pipe_.take_position(), position);
  EXPECT_EQ(position.received, 5U);
  ASSERT_TRUE(pipe_.attach(2, peer_at(0), kStart).has_value());
  receive(pipe_, data_frame(5, " world")).value();
  EXPECT_EQ(deliver(pipe_), "hello world");
}

TEST(KnownFaultOfTwoPipes, NoByteTravelsTwiceThatHadArrived) {
  PipePair pair({.fragment_bytes = 10000, .in_flight_bytes = 10000});
  pair.connect();
  pair.server.read(false);
  pair.client.write(stream_text(0, 60));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server->reader().received_sequence(), 60U);
  pair.cut();
  pair.connect();
  const std::size_t before = pair.carried_bytes();
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 60));
  EXPECT_EQ(pair.client->replayed_bytes(), 0U);
  EXPECT_LT(pair.carried_bytes() - before, 10 * kMaxFramePrefixBytes) << "signals only";
}

TEST(KnownFaultOfTwoPipes, AReplayOfAnySizeGoesThrough) {
  constexpr std::size_t kBytes = std::size_t{3} << 20;
  PipePair pair({.fragment_bytes = 100000,
                 .in_flight_bytes = 1 << 20,
                 .pipe = {.replay_buffer_bytes = kBytes, .initial_window_bytes = kBytes},
                 .segment_count = 128,
                 .segment_bytes = 64 << 10});
  pair.connect();
  pair.client.write(stream_text(0, kBytes));
  for (int i = 0; i < 10; ++i)
    pair.step();
  pair.cut();
  // Everything the first link took is sent once more.
  pair.connect();
  ASSERT_TRUE(pair.run());
  EXPECT_TRUE(pair.server.received() == stream_text(0, kBytes));
  EXPECT_GT(kBytes, kMaxPayloadBytes) << "more than one frame can hold";
}

TEST(KnownFaultOfTwoPipes, TheBufferShrinksWithAcknowledgements) {
  PipePair pair;
  pair.connect();
  const std::size_t total = 100 * kSmallPipe.replay_buffer_bytes;
  pair.client.write(stream_text(0, total));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received().size(), total);
  EXPECT_EQ(pair.client->writer().acknowledged(), total);
  EXPECT_EQ(pair.client.pool().segments_in_use(), 0U);
}

TEST_F(KnownFault, PermanentAndTransientFailuresAreToldApart) {
  attach();
  write(pipe_, "hello");
  take_all(pipe_, kStart);
  // A link that breaks, or that garbles its framing: the next one goes on.
  EXPECT_TRUE(fails_with(receive(pipe_, std::string(16, '\0')), Reason::protocol_error));
  EXPECT_FALSE(pipe_.violates_session());
  lose_link();
  EXPECT_EQ(pipe_.state(), PipeState::disconnected);
  // A peer whose offsets no link can mend.
  const auto refused = pipe_.attach(2, peer_at(6), kStart);
  ASSERT_TRUE(fails_with(refused, Reason::future_sequence));
  EXPECT_FALSE(is_transient(*reason_of(refused.error())));
  attach();
  EXPECT_TRUE(fails_with(receive(pipe_, data_frame(1, "x")), Reason::protocol_error));
  EXPECT_TRUE(pipe_.violates_session());
}

TEST(KnownFaultOfTwoPipes, TheClientLearnsThatTheServiceHasClosed) {
  PipePair pair;
  pair.connect();
  pair.server.write("goodbye");
  pair.server.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "goodbye");
  EXPECT_EQ(pair.client.ends(), 1);
  pair.client.write("still talking");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), "still talking");
}

TEST(KnownFaultOfTwoPipes, TwoLargeReplaysAtOnceDoNotDeadlock) {
  PipePair pair({.fragment_bytes = 16, .in_flight_bytes = 16});
  pair.connect();
  const std::size_t full = kSmallPipe.replay_buffer_bytes;
  pair.client.read(false);
  pair.server.read(false);
  pair.client.write(stream_text(0, 2 * full));
  pair.server.write(stream_text(5, 2 * full));
  ASSERT_TRUE(pair.run());
  pair.cut();
  pair.connect();
  pair.client.read(true);
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 2 * full));
  EXPECT_EQ(pair.client.received(), stream_text(5, 2 * full));
}

}  // namespace
}  // namespace backedpipe::test
