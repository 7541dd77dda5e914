// Two BackedPipes against each other.
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class TwoPipes : public testing::Test {};

TEST_F(TwoPipes, ARoundTrip) {
  PipePair pair;
  pair.connect();
  pair.client.write("ping");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), "ping");
  pair.server.write("pong");
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "pong");
  EXPECT_EQ(pair.client.pool().segments_in_use(), 0U);
  EXPECT_EQ(pair.server.pool().segments_in_use(), 0U);
}

TEST_F(TwoPipes, EndsTravelInBothDirectionsByThemselves) {
  PipePair pair;
  pair.connect();
  pair.client.write("request");
  pair.client.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.ends(), 1);
  EXPECT_EQ(pair.client.ends(), 0);
  pair.server.write("answer");
  pair.server.finish();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), "answer");
  EXPECT_TRUE(pair.client->done());
  EXPECT_TRUE(pair.server->done());
}

TEST_F(TwoPipes, EveryFragmentSizeCarriesTheSameStreams) {
  for (const std::size_t fragment : {1U, 2U, 15U, 16U, 17U, 25U, 64U, 1000U}) {
    SCOPED_TRACE(testing::Message() << "fragments of " << fragment);
    PipePair pair({.fragment_bytes = fragment, .in_flight_bytes = 1000});
    pair.connect();
    pair.client.write(stream_text(0, 3000));
    pair.client.finish();
    pair.server.write(stream_text(7, 2000));
    pair.server.finish();
    ASSERT_TRUE(pair.run());
    EXPECT_EQ(pair.server.received(), stream_text(0, 3000));
    EXPECT_EQ(pair.client.received(), stream_text(7, 2000));
    EXPECT_TRUE(pair.client->done() && pair.server->done());
  }
}

TEST_F(TwoPipes, ALinkCutAtAnyStepLosesAndRepeatsNothing) {
  for (int steps = 0; steps < 160; ++steps) {
    SCOPED_TRACE(testing::Message() << "cut after " << steps << " steps");
    PipePair pair;
    pair.connect();
    pair.client.write(stream_text(0, 300));
    pair.client.finish();
    pair.server.write(stream_text(5, 200));
    pair.server.finish();
    for (int i = 0; i < steps; ++i)
      pair.step();
    pair.cut();
    pair.connect();
    ASSERT_TRUE(pair.run());
    expect_all_arrived(pair, stream_text(0, 300), stream_text(5, 200));
    ASSERT_FALSE(HasFailure()) << steps << " steps before the cut";
  }
}

TEST_F(TwoPipes, AThousandCutsLoseAndRepeatNothing) {
  PipePair pair;
  pair.client.write(stream_text(0, 20000));
  pair.client.finish();
  pair.server.write(stream_text(5, 20000));
  pair.server.finish();
  for (int cut = 0; cut < 1000; ++cut) {
    pair.connect();
    for (int i = 0; i < 20 + cut % 17; ++i)
      pair.step();
    pair.cut();
  }
  pair.connect();
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 20000));
  EXPECT_EQ(pair.client.received(), stream_text(5, 20000));
}

TEST_F(TwoPipes, AnApplicationThatDoesNotReadHoldsUpItsOwnDirectionOnly) {
  PipePair pair;
  pair.connect();
  pair.server.read(false);
  pair.client.write(stream_text(0, 1000));
  pair.server.write(stream_text(5, 1000));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.client.received(), stream_text(5, 1000));
  EXPECT_EQ(pair.server.received(), "");
  pair.server.read(true);
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 1000));
}

TEST_F(TwoPipes, ACrowdedPoolSlowsAndLosesNothing) {
  PipePair pair({.segment_count = 4, .segment_bytes = 16});
  pair.connect();
  pair.client.write(stream_text(0, 2000));
  pair.server.write(stream_text(5, 2000));
  ASSERT_TRUE(pair.run());
  EXPECT_EQ(pair.server.received(), stream_text(0, 2000));
  EXPECT_EQ(pair.client.received(), stream_text(5, 2000));
}

}  // namespace
}  // namespace backedpipe::test
