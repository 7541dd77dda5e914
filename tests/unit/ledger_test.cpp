// Ledger: which records there are, what a session stores in its record, and in which order: the
// process may end before any store.
#include "pipe/ledger.hpp"

#include <cstring>

#include "pipe/backed_pipe.hpp"
#include "tests/support/ledger_fixture.hpp"
#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

using State = LedgerRecord::State;

LedgerEntry::Beginning beginning(std::uint8_t number) {
  SessionId id;
  id.bytes.fill(number);
  return {.id = id,
          .role = 1,
          .labels = 7,
          .restores = 3,
          .created_at = 1'000'000,
          .detached_since = 2'000'000};
}

std::vector<unsigned> numbers_in_use(const LedgerMemory& memory) {
  std::vector<unsigned> numbers;
  for (const LedgerRecord& record : memory.records) {
    if (record.state == State::session) numbers.push_back(record.id.bytes[0]);
  }
  return numbers;
}

// All that an entry can be told, apart from its end.
void tell_everything(LedgerEntry& entry) {
  entry.connected({.socket = 5, .taken_baseline = 6, .given_baseline = 7, .uncounted = true});
  entry.enter(0, 3, std::nullopt);
  entry.enter(1, 4, 0);
  entry.last_is(0);
  entry.first_is(2);
  entry.acknowledged(50);
  entry.written(60);
  entry.sending(55);
  entry.finished();
  entry.fin_acknowledged();
  entry.delivered(70);
  entry.end_delivered();
  entry.stating_limit(80);
  entry.generation(9);
  entry.said_hello();
  entry.welcomed();
  entry.confirmed();
  entry.links(3);
  entry.attached();
  entry.detached(4);
  entry.begin(LedgerRecord::kReading);
  entry.done(LedgerRecord::kReading);
  entry.begin(LedgerRecord::kWriting);
  entry.resetting(Reason::expired);
  entry.resetting_application(Reason::application_reset);
}

bool same(const LedgerMemory& memory, const std::vector<LedgerRecord>& records,
          const std::vector<SegmentLink>& links) {
  return std::memcmp(memory.records.data(), records.data(),
                     records.size() * sizeof(LedgerRecord)) == 0 &&
         std::memcmp(memory.links.data(), links.data(), links.size() * sizeof(SegmentLink)) == 0;
}

// --- which records there are

TEST(Ledger, ASessionIsThereOnlyWhenAllThatDoesNotChangeIs) {
  LedgerMemory memory;
  std::memset(static_cast<void*>(memory.records.data()), 0xa5, sizeof(LedgerRecord));
  memory.records[0].state = State::free;
  const BeforeEachStore stores(memory, [&] {
    const LedgerRecord& record = memory.records[0];
    EXPECT_EQ(record.state, State::free);
    EXPECT_EQ(record.id, beginning(1).id);
    EXPECT_EQ(record.role, 1U);
    EXPECT_EQ(record.labels, 7U);
    EXPECT_EQ(record.created_at, 1'000'000U);
    EXPECT_EQ(record.restores, 3U);
    EXPECT_EQ(record.detached_since, 2'000'000U);
    EXPECT_EQ(record.checksum, checksum_of(record));
    EXPECT_EQ(record.flags, 0U) << "of whoever had the record before";
    EXPECT_EQ(record.first_segment, 0U);
  });
  const LedgerEntry entry(memory.ledger, beginning(1));
  memory.ledger.watch(nullptr);
  EXPECT_EQ(stores.count(), 1U);
  EXPECT_EQ(memory.records[0].state, State::session);
  EXPECT_EQ(&entry.record(), &memory.records[0]);
}

TEST(Ledger, TheChecksumTellsEveryFieldThatDoesNotChange) {
  LedgerMemory memory;
  const LedgerEntry entry(memory.ledger, beginning(1));
  const LedgerRecord right = entry.record();
  const auto after = [&](const auto& change) {
    LedgerRecord record = right;
    change(record);
    return checksum_of(record);
  };
  EXPECT_NE(after([](LedgerRecord& r) { r.id.bytes[15] ^= 1; }), right.checksum);
  EXPECT_NE(after([](LedgerRecord& r) { r.created_at ^= 1; }), right.checksum);
  EXPECT_NE(after([](LedgerRecord& r) { r.labels ^= 1; }), right.checksum);
  EXPECT_NE(after([](LedgerRecord& r) { r.role ^= 1; }), right.checksum);
  EXPECT_EQ(after([](LedgerRecord& r) { r.written_offset = r.flags = 1; }), right.checksum);
}

TEST(Ledger, TheRecordFreedLastIsUsedFirst) {
  LedgerMemory memory;
  LedgerEntry first(memory.ledger, beginning(1));
  LedgerEntry second(memory.ledger, beginning(2));
  LedgerEntry third(memory.ledger, beginning(3));
  EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{1, 2, 3}));
  third.erase();
  first.erase();
  EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{2}));
  EXPECT_EQ(memory.ledger.in_use(), 1U);
  const LedgerEntry fourth(memory.ledger, beginning(4));
  const LedgerEntry fifth(memory.ledger, beginning(5));
  const LedgerEntry sixth(memory.ledger, beginning(6));
  EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{4, 2, 5, 6}));
  EXPECT_EQ(memory.ledger.in_use(), 4U);
}

TEST(Ledger, AnEntryFreesItsRecordOnceAndWithOneStore) {
  LedgerMemory memory;
  {
    LedgerEntry entry(memory.ledger, beginning(1));
    LedgerEntry moved(std::move(entry));
    EXPECT_FALSE(entry.kept());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(moved.kept());
    entry.erase();
    EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{1}));
    Stores stores(memory);
    moved.erase();
    EXPECT_EQ(stores.take(), "free");
    EXPECT_FALSE(moved.kept());
    const LedgerEntry other(memory.ledger, beginning(2));
    moved.erase();
    EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{2})) << "it is another session's now";
  }
  EXPECT_EQ(memory.ledger.in_use(), 0U);
  EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{}));
}

TEST(Ledger, AFullLedgerGivesAnEntryThatRecordsNothing) {
  LedgerMemory memory(1);
  LedgerEntry kept(memory.ledger, beginning(1));
  const auto records = memory.records;
  const auto links = memory.links;
  {
    LedgerEntry entry(memory.ledger, beginning(2));
    EXPECT_FALSE(entry.kept());
    tell_everything(entry);
  }
  EXPECT_TRUE(same(memory, records, links));
  EXPECT_EQ(memory.ledger.in_use(), 1U);
  kept.erase();
  const LedgerEntry next(memory.ledger, beginning(3));
  EXPECT_TRUE(next.kept());
}

TEST(Ledger, APipeThatIsNotRecordedWorksLikeAnyOther) {
  LedgerMemory memory(0);
  BackedPipe pipe(memory.pool, kSmallPipe, LedgerEntry(memory.ledger, beginning(1)));
  ASSERT_TRUE(pipe.attach(1, peer_at(0), at(seconds(0))).has_value());
  write(pipe, stream_text(0, 40));
  pipe.finish();
  EXPECT_EQ(payload_of(take_frames(pipe)), stream_text(0, 40));
  receive(pipe, data_frame(0, "bye", 41) + frame_text(FrameType::fin, 41, 3)).value();
  EXPECT_EQ(deliver(pipe), "bye");
  pipe.end_delivered(at(seconds(0)));
  EXPECT_TRUE(pipe.done());
}

// --- once it is frozen

TEST(Ledger, NothingIsStoredOnceItIsFrozen) {
  LedgerMemory memory;
  LedgerEntry entry(memory.ledger, beginning(1));
  memory.ledger.freeze();
  const auto records = memory.records;
  const auto links = memory.links;
  tell_everything(entry);
  const LedgerEntry late(memory.ledger, beginning(2));
  EXPECT_TRUE(same(memory, records, links));
  entry.erase();
  EXPECT_TRUE(same(memory, records, links));
}

// What is left of a process may go on for a moment: its sessions are let go of, and one may begin.
TEST(Ledger, ARecordThatTheNextProcessContinuesWithIsNotUsedAgain) {
  LedgerMemory memory;
  {
    const LedgerEntry entry(memory.ledger, beginning(1));
    memory.ledger.freeze();
  }
  const LedgerEntry late(memory.ledger, beginning(2));
  EXPECT_EQ(numbers_in_use(memory), (std::vector<unsigned>{1}));
}

// --- what is stored

class LedgerEntryTest : public testing::Test {
 protected:
  LedgerMemory memory_;
  LedgerEntry entry_{memory_.ledger, beginning(1)};
  Stores stores_{memory_};
};

TEST_F(LedgerEntryTest, AConnectionCountsOnlyWhenAllOfItIsThere) {
  entry_.connected({.socket = 5, .taken_baseline = 6, .given_baseline = 8, .uncounted = true});
  EXPECT_EQ(stores_.take(), "socket 5, taken 6, given 8, socket checksum, uncounted, connected");
  EXPECT_EQ(entry_.record().socket_checksum, socket_checksum_of(entry_.record()));
}

TEST_F(LedgerEntryTest, TheChecksumOfAConnectionTellsEachOfItsFields) {
  entry_.connected({.socket = 5, .taken_baseline = 6, .given_baseline = 8});
  const auto after = [&](std::uint64_t LedgerRecord::*field) {
    LedgerRecord record = entry_.record();
    record.*field ^= 1;
    return socket_checksum_of(record);
  };
  const std::uint64_t right = entry_.record().socket_checksum;
  EXPECT_NE(after(&LedgerRecord::socket), right);
  EXPECT_NE(after(&LedgerRecord::taken_baseline), right);
  EXPECT_NE(after(&LedgerRecord::given_baseline), right);
  EXPECT_EQ(after(&LedgerRecord::delivered_offset), right);
}

TEST_F(LedgerEntryTest, WhatIsUnderWayIsNotedOnlyWhereNobodyCounts) {
  entry_.begin(LedgerRecord::kReading);
  entry_.connected({.socket = 5});
  stores_.take();
  entry_.begin(LedgerRecord::kReading);
  entry_.done(LedgerRecord::kReading);
  EXPECT_EQ(stores_.take(), "");

  LedgerEntry(std::move(entry_)).erase();
  LedgerEntry uncounted(memory_.ledger, beginning(2));
  uncounted.connected({.socket = 5, .uncounted = true});
  stores_.take();
  uncounted.begin(LedgerRecord::kReading);
  uncounted.begin(LedgerRecord::kWriting);
  uncounted.done(LedgerRecord::kReading);
  EXPECT_EQ(stores_.take(), "reading, writing, not reading");
}

TEST_F(LedgerEntryTest, ASegmentIsCompleteBeforeTheListLeadsToIt) {
  entry_.enter(4, 9, std::nullopt);
  EXPECT_EQ(stores_.take(), "number of 5 9, first 5");
  entry_.enter(2, 10, 4);
  EXPECT_EQ(stores_.take(), "number of 3 10, next of 5 3");
  entry_.enter(7, 11, 2);
  EXPECT_EQ(memory_.segments_of(entry_.record()), (std::vector<SegmentIndex>{4, 2, 7}));
}

// The list must not lead on to where a segment led when it was last in one.
TEST_F(LedgerEntryTest, ASegmentThatWasInAListBeforeIsItsEnd) {
  entry_.enter(4, 9, std::nullopt);
  entry_.enter(2, 10, 4);
  entry_.first_is(2);
  stores_.take();
  entry_.enter(4, 11, 2);
  EXPECT_EQ(stores_.take(), "number of 5 11, next of 5 0, next of 3 5");
  EXPECT_EQ(memory_.segments_of(entry_.record()), (std::vector<SegmentIndex>{2, 4}));
}

TEST_F(LedgerEntryTest, AListIsCutAtEitherEndWithOneStore) {
  for (SegmentIndex i = 0; i < 4; ++i)
    entry_.enter(i, i, i > 0 ? std::optional(i - 1) : std::nullopt);
  stores_.take();
  entry_.first_is(1);
  EXPECT_EQ(stores_.take(), "first 2");
  entry_.last_is(2);
  EXPECT_EQ(stores_.take(), "next of 3 0");
  EXPECT_EQ(memory_.segments_of(entry_.record()), (std::vector<SegmentIndex>{1, 2}));
  entry_.first_is(std::nullopt);
  EXPECT_EQ(stores_.take(), "first 0");
}

TEST_F(LedgerEntryTest, WhatMayHaveBeenSentNeverGetsLess) {
  entry_.sending(10);
  entry_.sending(5);
  EXPECT_EQ(entry_.record().highest_sent, 10U);
}

TEST_F(LedgerEntryTest, AResetAndItsReasonAreOneStore) {
  BeforeEachStore at_each(memory_, [&] {
    const LedgerRecord& record = entry_.record();
    EXPECT_EQ((record.flags & LedgerRecord::kApplicationReset) != 0,
              record.reset_reason() != Reason::none);
  });
  entry_.resetting_application(Reason::target_refused);
  EXPECT_EQ(at_each.count(), 1U);
  EXPECT_TRUE(entry_.record().flags & LedgerRecord::kApplicationReset);
  EXPECT_EQ(entry_.record().reset_reason(), Reason::target_refused);
}

TEST_F(LedgerEntryTest, TheFirstReasonOfAResetStays) {
  entry_.resetting(Reason::expired);
  EXPECT_EQ(stores_.take(), "reason 14");
  entry_.resetting(Reason::closed_by_operator);
  EXPECT_EQ(stores_.take(), "");
  entry_.resetting_application(Reason::application_reset);
  EXPECT_EQ(stores_.take(), "application reset");
  EXPECT_EQ(entry_.record().reset_reason(), Reason::expired);
}

TEST_F(LedgerEntryTest, FlagsDoNotTouchEachOther) {
  entry_.resetting(Reason::shutting_down);
  for (const auto tell :
       {&LedgerEntry::finished, &LedgerEntry::fin_acknowledged, &LedgerEntry::end_delivered,
        &LedgerEntry::said_hello, &LedgerEntry::welcomed, &LedgerEntry::confirmed}) {
    (entry_.*tell)();
  }
  EXPECT_EQ(stores_.take(),
            "reason 32769, finished, fin acknowledged, end delivered, said hello, welcomed, "
            "confirmed");
}

TEST_F(LedgerEntryTest, ASessionWithALinkIsWithoutOneSinceNever) {
  entry_.attached();
  EXPECT_EQ(stores_.take(), "detached 0");
  entry_.detached(5);
  EXPECT_EQ(stores_.take(), "detached 5");
}

}  // namespace
}  // namespace backedpipe::test
