// What a ring and a pipe store in the ledger, and in which order: the process may end before any
// store.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <set>

#include "pipe/backed_pipe.hpp"
#include "tests/support/ledger_fixture.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using Use = SegmentPool::Use;

// --- a ring, and its list of segments

class LedgerOfARing : public testing::Test {
 protected:
  // The next process finds every byte in a segment that nobody else can have got.
  void check() {
    const LedgerRecord& record = entry_.record();
    const std::vector<SegmentIndex> listed = memory_.segments_of(record);
    const std::size_t size = memory_.pool.segment_bytes();
    ASSERT_EQ(std::set(listed.begin(), listed.end()).size(), listed.size());
    for (std::size_t i = 1; i < listed.size(); ++i)
      ASSERT_EQ(memory_.links[listed[i]].number, memory_.links[listed[i - 1]].number + 1);
    for (const SegmentIndex segment : segments_for_others())
      ASSERT_EQ(std::count(listed.begin(), listed.end(), segment), 0) << segment;

    ASSERT_LE(record.acknowledged_offset, record.written_offset);
    for (std::uint64_t at = record.acknowledged_offset; at < record.written_offset; ++at) {
      ASSERT_FALSE(listed.empty());
      const std::uint64_t place = at / size - memory_.links[listed[0]].number;
      ASSERT_LT(place, listed.size()) << "byte " << at << " is in none";
      const auto found = memory_.arena[listed[static_cast<std::size_t>(place)] * size + at % size];
      ASSERT_EQ(found, bytes_of(stream_text(at, 1))[0]);
    }
  }

  // Whatever another session could be given now.
  std::vector<SegmentIndex> segments_for_others() {
    std::vector<SegmentIndex> segments;
    while (const auto segment = memory_.pool.allocate_restored(Use::inbound))
      segments.push_back(*segment);
    for (auto it = segments.rbegin(); it != segments.rend(); ++it)
      memory_.pool.free(*it, Use::inbound);
    return segments;
  }

  // The segments whose memory was given out.
  std::set<SegmentIndex> prepare(std::size_t bytes) {
    count_ = ring_->prepare(bytes, pieces_);
    std::set<SegmentIndex> segments;
    for (std::size_t i = 0; i < count_; ++i) {
      segments.insert(static_cast<SegmentIndex>(
          static_cast<std::size_t>(pieces_[i].data() - memory_.arena.data()) /
          memory_.pool.segment_bytes()));
    }
    return segments;
  }
  std::size_t prepared() const {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count_; ++i)
      bytes += pieces_[i].size();
    return bytes;
  }
  // The system has read so many bytes into what was prepared.
  void read(std::size_t bytes) {
    const std::string text = stream_text(ring_->end(), bytes);
    std::size_t filled = 0;
    for (std::size_t i = 0; i < count_ && filled < bytes; ++i) {
      const std::size_t part = std::min(bytes - filled, pieces_[i].size());
      std::memcpy(pieces_[i].data(), text.data() + filled, part);
      filled += part;
    }
    ASSERT_EQ(filled, bytes);
  }
  void write(std::size_t bytes) {
    prepare(bytes);
    read(bytes);
    ring_->commit(bytes);
  }

  LedgerMemory memory_{1, 32};
  LedgerEntry entry_{memory_.ledger, {}};
  std::optional<RingBuffer> ring_{std::in_place, memory_.pool, Use::outbound, 200, &entry_};
  std::array<MutableBytes, 4> pieces_;
  std::size_t count_ = 0;
};

TEST_F(LedgerOfARing, ASegmentIsListedBeforeItsMemoryIsGivenOut) {
  const auto segments = prepare(40);
  const auto listed = memory_.segments_of(entry_.record());
  ASSERT_EQ(listed.size(), 3U);
  EXPECT_EQ(std::set(listed.begin(), listed.end()), segments);
  read(40);
  EXPECT_EQ(entry_.record().written_offset, 0U) << "only the system knows of these bytes";
  EXPECT_EQ(memory_.links[listed[2]].number, 2U);
}

TEST_F(LedgerOfARing, WhatWasReadIsRecordedBeforeSurplusSegmentsGo) {
  prepare(64);
  read(20);
  Stores stores(memory_);
  ring_->commit(20);
  EXPECT_EQ(stores.take(), "written 20, next of 2 0");
  check();
}

TEST_F(LedgerOfARing, AReadThatBroughtNothingLeavesTheListAsItWas) {
  write(20);
  prepare(64);
  Stores stores(memory_);
  ring_->commit(0);
  EXPECT_EQ(stores.take(), "next of 2 0");
  ring_->release(20);
  stores.take();
  prepare(64);
  stores.take();
  ring_->commit(0);
  EXPECT_EQ(stores.take(), "first 0");
}

TEST_F(LedgerOfARing, WhatIsForgottenIsRecordedBeforeItsSegmentsGo) {
  write(60);
  Stores stores(memory_);
  ring_->release(10);
  EXPECT_EQ(stores.take(), "acknowledged 10");
  ring_->release(35);
  EXPECT_EQ(stores.take(), "acknowledged 35, first 3");
  ring_->clear();
  EXPECT_EQ(stores.take(), "acknowledged 60, first 4, first 0");
}

TEST_F(LedgerOfARing, AtEveryStoreTheListHoldsEveryByteAndNothingThatIsFree) {
  std::mt19937 random(5);
  const BeforeEachStore at_each(memory_, [this] { check(); });
  std::size_t released = 0;
  for (int i = 0; i < 3000 && !HasFatalFailure(); ++i) {
    if (random() % 3 > 0) {
      prepare(1 + random() % 80);
      const std::size_t bytes = random() % (prepared() + 1);
      read(bytes);
      ring_->commit(bytes);
    } else {
      const std::size_t bytes = random() % (ring_->size() + 1);
      ring_->release(ring_->begin() + bytes);
      released += bytes;
    }
    check();
    EXPECT_EQ(entry_.record().written_offset, ring_->end());
    EXPECT_EQ(entry_.record().acknowledged_offset, ring_->begin());
    EXPECT_EQ(memory_.segments_of(entry_.record()).size(), ring_->segment_count());
  }
  ring_.reset();
  EXPECT_GT(released, 10'000U);
  EXPECT_GT(at_each.count(), 3000U);
  EXPECT_EQ(memory_.segments_of(entry_.record()).size(), 0U);
}

TEST_F(LedgerOfARing, WhatIsRestoredIsRecorded) {
  const std::string text = stream_text(100, 50);
  const std::array pieces{bytes_of(text).first(7), bytes_of(text).subspan(7)};
  ASSERT_EQ(ring_->restore(100, pieces), 50U);
  EXPECT_EQ(entry_.record().acknowledged_offset, 100U);
  EXPECT_EQ(entry_.record().written_offset, 150U);
  EXPECT_EQ(memory_.links[memory_.segments_of(entry_.record())[0]].number, 6U);
  check();
}

// --- a pipe

class LedgerOfAPipe : public testing::Test {
 protected:
  void attach(const Position& peer = peer_at(0)) {
    ASSERT_TRUE(pipe_.attach(pipe_.generation() + 1, peer, at(seconds(0))).has_value());
    take_all(pipe_, at(seconds(0)));
    stores_.take();
  }
  const LedgerRecord& record() { return pipe_.ledger().record(); }

  LedgerMemory memory_;
  ArenaPool inbound_;
  BackedPipe pipe_{{*inbound_, memory_.pool}, kSmallPipe, {memory_.ledger, {}}};
  Stores stores_{memory_};
};

TEST_F(LedgerOfAPipe, BytesAreListedThenWrittenThenSent) {
  attach();
  write(pipe_, stream_text(0, 20));
  EXPECT_EQ(stores_.take(), "first 1, written 16, number of 2 1, next of 1 2, written 20");
  const std::string frames = offered(pipe_, at(seconds(0)));
  EXPECT_EQ(stores_.take(), "sent 20") << "before the link is given them";
  take_all(pipe_, at(seconds(0)));
  EXPECT_EQ(stores_.take(), "");
}

TEST_F(LedgerOfAPipe, TheEndIsRecordedBeforeItIsSent) {
  attach();
  write(pipe_, "abc");
  pipe_.finish();
  stores_.take();
  offered(pipe_, at(seconds(0)));
  EXPECT_EQ(stores_.take(), "sent 3, sent 4");
  EXPECT_TRUE(record().flags & LedgerRecord::kFinished);
}

TEST_F(LedgerOfAPipe, AnEndIsAcknowledgedAfterItsData) {
  attach();
  write(pipe_, stream_text(0, 20));
  pipe_.finish();
  take_all(pipe_, at(seconds(0)));
  stores_.take();
  receive(pipe_, frame_text(FrameType::ack, 21)).value();
  EXPECT_EQ(stores_.take(), "acknowledged 20, first 2, first 0, fin acknowledged");
}

TEST_F(LedgerOfAPipe, WhatWasDeliveredAndItsEndAreRecorded) {
  attach();
  receive(pipe_, data_frame(0, "hello") + frame_text(FrameType::fin, 0, 5)).value();
  EXPECT_EQ(stores_.take(), "") << "what has only been received is asked for again";
  deliver(pipe_, at(seconds(0)), 3);
  EXPECT_EQ(stores_.take(), "delivered 3");
  deliver(pipe_);
  pipe_.end_delivered(at(seconds(0)));
  EXPECT_EQ(stores_.take(), "delivered 5, end delivered");
}

TEST_F(LedgerOfAPipe, ThePeerKnowsTheFirstLimitFromTheBeginning) {
  EXPECT_EQ(record().window_limit, kSmallPipe.initial_window_bytes);
}

TEST_F(LedgerOfAPipe, ALimitIsRecordedBeforeItIsStated) {
  attach();
  const BeforeEachStore at_each(
      memory_, [&] { EXPECT_GE(record().window_limit, pipe_.reader().window().stated_limit()); });
  receive(pipe_, data_frame(0, stream_text(0, 40))).value();
  deliver(pipe_);
  const auto windows = only(FrameType::window, frames_in(offered(pipe_, at(seconds(0)))));
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_GT(windows[0].value, kSmallPipe.initial_window_bytes);
  EXPECT_EQ(record().window_limit, windows[0].value);

  take_all(pipe_, at(seconds(0)));
  receive(pipe_, data_frame(40, stream_text(40, 10))).value();
  deliver(pipe_);
  const Position position = pipe_.take_position();
  EXPECT_GT(position.window_limit, windows[0].value);
  EXPECT_EQ(record().window_limit, position.window_limit);
  EXPECT_GE(at_each.count(), 4U);
}

TEST_F(LedgerOfAPipe, AGenerationIsRecordedBeforeAnybodyHearsOfIt) {
  const BeforeEachStore at_each(
      memory_, [&] { EXPECT_GE(record().highest_generation, pipe_.record().highest_generation); });
  EXPECT_EQ(pipe_.connect().value(), record().highest_generation);
  ASSERT_TRUE(pipe_.attach(1, peer_at(0), at(seconds(0))).has_value());
  EXPECT_EQ(pipe_.connect_beside().value(), record().highest_generation);
  EXPECT_EQ(pipe_.reconnect().value(), record().highest_generation);
  ASSERT_TRUE(pipe_.attach(7, peer_at(0), at(seconds(0))).has_value());
  EXPECT_EQ(record().highest_generation, 7U) << "of the peer's choice";
  EXPECT_EQ(at_each.count(), 3U);
}

TEST_F(LedgerOfAPipe, AResetIsRecordedBeforeThePeerIsTold) {
  attach();
  const BeforeEachStore at_each(memory_, [&] {
    EXPECT_TRUE(!pipe_.resetting() || record().reset_reason() == Reason::expired);
  });
  receive(pipe_, data_frame(0, "hello")).value();
  pipe_.reset(Reason::expired);
  EXPECT_EQ(record().reset_reason(), Reason::expired);
  EXPECT_EQ(record().delivered_offset, 5U) << "nothing of it is asked for again";
}

TEST_F(LedgerOfAPipe, WhatIsRestoredIsRecorded) {
  PipeRecord state;
  state.writer = {.begin_offset = 100, .end_offset = 120, .highest_sent = 121, .finished = true};
  state.reader = {.begin_offset = 50,
                  .end_offset = 50,
                  .window_limit = 90,
                  .fin_received = true,
                  .end_delivered = true};
  state.highest_generation = 4;
  const std::string text = stream_text(100, 20);
  const std::array held{bytes_of(text)};
  ASSERT_TRUE(pipe_.restore(state, {.outbound = held, .inbound = {}}).has_value());
  EXPECT_EQ(record().acknowledged_offset, 100U);
  EXPECT_EQ(record().written_offset, 120U);
  EXPECT_EQ(record().highest_sent, 121U);
  EXPECT_EQ(record().delivered_offset, 50U);
  EXPECT_EQ(record().window_limit, 90U);
  EXPECT_EQ(record().highest_generation, 4U);
  EXPECT_EQ(record().flags, LedgerRecord::kFinished | LedgerRecord::kEndDelivered);
  EXPECT_EQ(memory_.segments_of(record()).size(), 2U);
}

TEST_F(LedgerOfAPipe, AResetThatIsRestoredIsRecorded) {
  PipeRecord state;
  state.writer = {.begin_offset = 9,
                  .end_offset = 9,
                  .highest_sent = 10,
                  .finished = true,
                  .fin_acknowledged = true,
                  .discarded = true};
  state.reader.window_limit = 64;
  state.reset_reason = Reason::closed;
  ASSERT_TRUE(pipe_.restore(state, {}).has_value());
  EXPECT_EQ(record().reset_reason(), Reason::closed);
  EXPECT_EQ(record().flags & 0xffff, LedgerRecord::kFinished | LedgerRecord::kFinAcknowledged);
}

}  // namespace
}  // namespace backedpipe::test
