#include "pipe/backed_reader.hpp"

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

class BackedReaderTest : public testing::Test {
 protected:
  Result<std::size_t> receive(std::uint64_t offset, std::string_view text) {
    return reader_.receive(offset, bytes_of(text));
  }

  std::string held() const { return held_text(reader_.ring(), reader_.ring().begin()); }

  void deliver(std::size_t count) { reader_.delivered(count, at(seconds(0)), std::nullopt); }

  ArenaPool pool_;
  BackedReader reader_{*pool_, 64, 256};
};

TEST_F(BackedReaderTest, CountsWhatTheApplicationHasAccepted) {
  EXPECT_EQ(reader_.delivered_sequence(), 0U);
  receive(0, "abcdefghij").value();
  EXPECT_EQ(reader_.delivered_sequence(), 0U) << "received is not delivered";
  EXPECT_EQ(reader_.received_sequence(), 10U);
  for (const std::uint64_t expected : {3U, 6U, 9U}) {
    deliver(3);
    EXPECT_EQ(reader_.delivered_sequence(), expected);
  }
  deliver(1);
  EXPECT_EQ(reader_.delivered_sequence(), 10U);
}

TEST_F(BackedReaderTest, DeliversByteByByte) {
  receive(0, "abc").value();
  std::string delivered;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    delivered += held().substr(0, 1);
    deliver(1);
    EXPECT_EQ(reader_.delivered_sequence(), i);
  }
  EXPECT_EQ(delivered, "abc");
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

TEST_F(BackedReaderTest, DropsWhatALinkRepeats) {
  receive(0, "hello").value();
  EXPECT_EQ(receive(0, "hello").value(), 5U);
  EXPECT_EQ(receive(1, "ell").value(), 3U);
  EXPECT_EQ(receive(3, "lo world").value(), 8U);
  EXPECT_EQ(held(), "hello world");
  deliver(11);
  EXPECT_EQ(receive(0, "hello world!").value(), 12U);
  EXPECT_EQ(held(), "!") << "nothing that was delivered comes again";
}

TEST_F(BackedReaderTest, AGapIsAProtocolError) {
  receive(0, "hello").value();
  EXPECT_TRUE(fails_with(receive(6, "world"), Reason::protocol_error));
  EXPECT_EQ(held(), "hello");
}

TEST_F(BackedReaderTest, BytesBeyondTheStatedWindowAreRefused) {
  EXPECT_TRUE(fails_with(receive(0, stream_text(0, 65)), Reason::window_exceeded));
  EXPECT_EQ(reader_.received_sequence(), 0U);
  EXPECT_EQ(receive(0, stream_text(0, 64)).value(), 64U);
  EXPECT_TRUE(fails_with(receive(64, "x"), Reason::window_exceeded));
}

TEST_F(BackedReaderTest, OnlyWhatHasBeenStatedCounts) {
  receive(0, stream_text(0, 64)).value();
  deliver(64);
  EXPECT_TRUE(fails_with(receive(64, "x"), Reason::window_exceeded));
  EXPECT_EQ(reader_.window().state_limit(), 128U);
  EXPECT_EQ(receive(64, "x").value(), 1U);
}

TEST_F(BackedReaderTest, TakesWhatMemoryAllowsAndGoesOnLaterWithoutLoss) {
  ArenaPool pool(2, 16);
  BackedReader reader(*pool, 64, 256);
  const std::string text = stream_text(0, 60);
  EXPECT_EQ(reader.receive(0, bytes_of(text)).value(), 32U);
  EXPECT_EQ(reader.receive(20, bytes_of(text).subspan(20)).value(), 12U);
  reader.delivered(20, at(seconds(0)), std::nullopt);
  EXPECT_EQ(reader.receive(32, bytes_of(text).subspan(32)).value(), 16U);
  EXPECT_EQ(held_text(reader.ring(), 20), text.substr(20, 28));
}

TEST_F(BackedReaderTest, TheEndIsDueOnceAllBeforeItIsDelivered) {
  receive(0, "bye").value();
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  EXPECT_EQ(reader_.received_sequence(), 4U);
  EXPECT_FALSE(reader_.end_due());
  deliver(3);
  EXPECT_TRUE(reader_.end_due());
  EXPECT_EQ(reader_.delivered_sequence(), 3U);
  EXPECT_FALSE(reader_.done());
  reader_.end_delivered();
  EXPECT_FALSE(reader_.end_due()) << "it is due once";
  EXPECT_EQ(reader_.delivered_sequence(), 4U);
  EXPECT_TRUE(reader_.done());
}

TEST_F(BackedReaderTest, ARepeatedEndChangesNothing) {
  receive(0, "bye").value();
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  deliver(3);
  reader_.end_delivered();
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  EXPECT_FALSE(reader_.end_due());
  EXPECT_EQ(reader_.delivered_sequence(), 4U);
}

TEST_F(BackedReaderTest, AnEndThatContradictsWhatCameBeforeIsAProtocolError) {
  receive(0, "bye").value();
  EXPECT_TRUE(fails_with(reader_.receive_fin(2), Reason::protocol_error));
  EXPECT_TRUE(fails_with(reader_.receive_fin(4), Reason::protocol_error));
  EXPECT_FALSE(reader_.fin_received());
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  EXPECT_TRUE(fails_with(reader_.receive_fin(2), Reason::protocol_error));
}

TEST_F(BackedReaderTest, DataBehindTheEndIsAProtocolErrorAndRepeatedDataBeforeItIsNot) {
  receive(0, "bye").value();
  ASSERT_TRUE(reader_.receive_fin(3).has_value());
  EXPECT_EQ(receive(0, "bye").value(), 3U);
  EXPECT_TRUE(fails_with(receive(3, "x"), Reason::protocol_error));
  EXPECT_TRUE(fails_with(receive(0, "byex"), Reason::protocol_error));
}

TEST_F(BackedReaderTest, AnEndOfAnEmptyStreamIsDueAtOnce) {
  ASSERT_TRUE(reader_.receive_fin(0).has_value());
  EXPECT_TRUE(reader_.end_due());
}

TEST_F(BackedReaderTest, WhatIsDiscardedIsGoneAndItsMemoryFree) {
  receive(0, "hello").value();
  reader_.discard();
  EXPECT_EQ(held(), "");
  EXPECT_EQ(pool_->segments_in_use(), 0U);
}

// --- as part of a pipe

class ReaderOfAPipe : public OnePipe {};

TEST_F(ReaderOfAPipe, NothingIsTakenWhileDisconnectedAndDeliveryResumesAtTheExactOffset) {
  EXPECT_EQ(receive(pipe_, data_frame(0, "lost")).value(), 28U);
  EXPECT_EQ(deliver(pipe_), "");
  attach();
  receive(pipe_, data_frame(0, "hello")).value();
  EXPECT_EQ(deliver(pipe_, at(seconds(0)), 3), "hel");
  lose_link();
  receive(pipe_, data_frame(5, "lost")).value();
  EXPECT_EQ(pipe_.take_position(), (Position{.delivered = 3, .received = 5, .window_limit = 67}));
  attach();
  EXPECT_EQ(deliverable_text(pipe_), "lo") << "what was received stays across a lost link";
  receive(pipe_, data_frame(5, " world")).value();
  EXPECT_EQ(deliver(pipe_), "lo world");
}

TEST_F(ReaderOfAPipe, AFailedLinkIsReportedOnceWithItsGenerationAndTheReaderWaitsForTheNext) {
  attach();
  EXPECT_TRUE(pipe_.detach(link_error(1, LinkError::Component::reader)));
  EXPECT_FALSE(pipe_.detach(link_error(1, LinkError::Component::reader)));
  ASSERT_TRUE(pipe_.last_error());
  EXPECT_EQ(name(pipe_.last_error()->component), "reader");
  EXPECT_EQ(pipe_.last_error()->generation, 1U);
  EXPECT_EQ(pipe_.last_error()->error, make_error_code(boost::system::errc::connection_reset));
  EXPECT_FALSE(pipe_.end_due()) << "the end of a link is never the end of the stream";
  attach();
  receive(pipe_, data_frame(0, "more")).value();
  EXPECT_EQ(deliver(pipe_), "more");
}

TEST_F(ReaderOfAPipe, AfterCloseThereIsNothingToDeliverAndNoLinkCanAttach) {
  attach();
  receive(pipe_, data_frame(0, "hello") + frame_text(FrameType::fin, 0, 5)).value();
  pipe_.close();
  pipe_.close();
  EXPECT_EQ(deliver(pipe_), "");
  EXPECT_FALSE(pipe_.end_due());
  EXPECT_EQ(pool_->segments_in_use(), 0U);
  EXPECT_TRUE(
      fails_with(pipe_.attach(2, peer_at(0), at(seconds(0))), boost::system::errc::broken_pipe));
}

}  // namespace
}  // namespace backedpipe::test
