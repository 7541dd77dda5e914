// PipeRecord: what it says of a pipe, what contradicts itself, and restoring from pieces.
#include "pipe/pipe_record.hpp"

#include <array>
#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr RecordLimits kLimits{.replay_buffer_bytes = kSmallPipe.replay_buffer_bytes,
                               .max_window_bytes = kSmallPipe.max_window_bytes};

class PipeRecordTest : public OnePipe {
 protected:
  // In the middle of a transfer, in both directions.
  PipeRecord record_under_way() {
    attach();
    write(pipe_, stream_text(0, 60));
    take_all(pipe_, at(seconds(0)));
    receive(pipe_, data_frame(0, stream_text(9, 40), 20)).value();
    deliver(pipe_, at(seconds(0)), 10);
    write(pipe_, stream_text(60, 15));
    return pipe_.record();
  }

  // What is wrong with a record that was right before this change.
  std::optional<std::string_view> after(const std::function<void(PipeRecord&)>& change) {
    PipeRecord record = right_;
    change(record);
    const auto wrong = contradiction_in(record, kLimits);
    EXPECT_NE(record, right_);
    EXPECT_TRUE(!wrong || fails_with(restored_->restore(record, {}), Reason::protocol_error));
    return wrong;
  }

  ArenaPool new_pool_;
  std::optional<BackedPipe> restored_{std::in_place, *new_pool_, kSmallPipe};
  PipeRecord right_;
};

TEST_F(PipeRecordTest, SaysWhereThePipeIs) {
  const PipeRecord record = record_under_way();
  EXPECT_EQ(record.writer,
            (WriterRecord{.begin_offset = 20, .end_offset = 75, .highest_sent = 60}));
  EXPECT_EQ(
      record.reader,
      (ReaderRecord{
          .begin_offset = 10, .end_offset = 40, .window_limit = 74, .window_size_bytes = 64}));
  EXPECT_EQ(record.highest_generation, 1U);
  EXPECT_EQ(record.attached_generation, 1U);
  EXPECT_FALSE(record.reset_reason || record.reset_received || record.closed);
}

// The peer may have received it over an older link after it stated its position for this one.
TEST_F(PipeRecordTest, RemembersInTheMiddleOfAReplayWhatWasEverSent) {
  attach();
  write(pipe_, stream_text(0, 30));
  take_all(pipe_, at(seconds(0)));
  ASSERT_TRUE(pipe_.attach(2, peer_at(10), at(seconds(0))).has_value());
  EXPECT_EQ(pipe_.writer().sent(), 10U);
  EXPECT_EQ(pipe_.record().writer.highest_sent, 30U);
  ASSERT_TRUE(restored_->restore(pipe_.snapshot()).has_value());
  EXPECT_TRUE(restored_->attach(3, peer_at(30), at(seconds(0))).has_value());
}

TEST_F(PipeRecordTest, APipeThatIsBeingResetHoldsNothingToSend) {
  record_under_way();
  pipe_.reset(Reason::expired);
  const PipeRecord record = pipe_.record();
  EXPECT_TRUE(record.writer.discarded);
  EXPECT_EQ(record.writer.begin_offset, record.writer.end_offset);
  EXPECT_EQ(record.reset_reason, Reason::expired);
  EXPECT_GT(pipe_.writer().ring().size(), 0U) << "its link may still take it";
}

TEST_F(PipeRecordTest, IsRestoredFromBytesInPiecesOfAnySize) {
  const PipeRecord record = record_under_way();
  const std::string out = stream_text(20, 55);
  const std::string in = stream_text(19, 30);
  const std::array outbound{bytes_of(out).first(1), bytes_of(out).subspan(1, 33), ConstBytes{},
                            bytes_of(out).subspan(34)};
  const std::array inbound{bytes_of(in).first(29), bytes_of(in).subspan(29)};
  ASSERT_TRUE(restored_->restore(record, {.outbound = outbound, .inbound = inbound}).has_value());
  EXPECT_EQ(restored_->record(), record);
  EXPECT_EQ(restored_->snapshot(), pipe_.snapshot());
  EXPECT_EQ(held_text(restored_->writer().ring(), 20), out);
  EXPECT_EQ(deliverable_text(*restored_), in);
}

TEST_F(PipeRecordTest, FewerOrMoreBytesThanItSaysAreAnError) {
  const PipeRecord record = record_under_way();
  const std::string text = stream_text(0, 56);
  const std::array right{bytes_of(text).first(55)};
  const std::array in{bytes_of(text).first(30)};
  for (const std::size_t size : {0U, 54U, 56U}) {
    const std::array wrong{bytes_of(text).first(size)};
    EXPECT_TRUE(fails_with(restored_->restore(record, {.outbound = wrong, .inbound = in}),
                           Reason::protocol_error));
    EXPECT_TRUE(fails_with(restored_->restore(record, {.outbound = right, .inbound = wrong}),
                           Reason::protocol_error));
  }
  EXPECT_EQ(new_pool_->segments_in_use(), 0U);
  EXPECT_TRUE(restored_->restore(record, {.outbound = right, .inbound = in}).has_value());
}

TEST_F(PipeRecordTest, EveryFieldIsCheckedAgainstTheOthers) {
  right_ = record_under_way();
  ASSERT_EQ(contradiction_in(right_, kLimits), std::nullopt);
  EXPECT_EQ(after([](PipeRecord& r) { r.attached_generation = 2; }),
            "a link of a generation that was never begun");
  EXPECT_EQ(after([](PipeRecord& r) { r.reset_reason = Reason::expired; }),
            "data kept after a reset");
  EXPECT_EQ(after([](PipeRecord& r) { r.closed = true; }), "data kept in a closed pipe");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.discarded = true; }), "data held and discarded");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.begin_offset = 76; }),
            "written less than acknowledged");
  EXPECT_EQ(after([](PipeRecord& r) {
              r.writer.begin_offset = r.writer.highest_sent = r.writer.end_offset = UINT64_MAX;
            }),
            "written more than offsets can count");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.end_offset = 20 + 257; }),
            "more held than may be replayed");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.highest_sent = 76; }), "sent more than written");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.highest_sent = 19; }),
            "sent less than acknowledged");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.fin_acknowledged = true; }),
            "an end acknowledged and never written");
  EXPECT_EQ(after([](PipeRecord& r) { r.writer.finished = r.writer.fin_acknowledged = true; }),
            "an end acknowledged before its data");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.begin_offset = 41; }),
            "received less than delivered");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.begin_offset = r.reader.end_offset = UINT64_MAX; }),
            "received more than offsets can count");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.end_offset = r.reader.window_limit = 10 + 257; }),
            "more held than a window allows");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.window_size_bytes = 257; }),
            "a window above its maximum");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.window_limit = 39; }),
            "received more than the window allowed");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.end_delivered = true; }),
            "an end delivered and never received");
  EXPECT_EQ(after([](PipeRecord& r) { r.reader.fin_received = r.reader.end_delivered = true; }),
            "an end delivered before its data");
}

TEST_F(PipeRecordTest, AnEndCountsAsOneInWhatWasSent) {
  right_ = record_under_way();
  EXPECT_EQ(after([](PipeRecord& r) {
              r.writer.finished = true;
              r.writer.highest_sent = 76;
            }),
            std::nullopt);
}

}  // namespace
}  // namespace backedpipe::test
