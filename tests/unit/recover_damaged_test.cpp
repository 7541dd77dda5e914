// recover(): what of a record and of its list of segments is not believed.
#include "session/recover.hpp"
#include "tests/support/recover_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr std::string_view kDamaged = "its record is damaged";
constexpr std::string_view kMoreRecorded = "more was recorded than the system has counted";
constexpr std::string_view kMoreAcknowledged = "more was acknowledged than written";
constexpr std::string_view kBytesMissing = "bytes that it had to send are not there";

class RecoverDamaged : public RecoverFixture {};
INSTANTIATE_TEST_SUITE_P(Session, RecoverDamaged, testing::Values(Role::client, Role::server),
                         of_role);

TEST_P(RecoverDamaged, ARecordWithAWrongChecksumIsDamaged) {
  process_.transfer();
  ASSERT_EQ(why(), "");
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.checksum ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.id.bytes[3] ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.created_at ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.labels ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.role ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) {
              r.role = 2;
              r.checksum = checksum_of(r);
            }),
            kDamaged);
}

TEST_P(RecoverDamaged, AConnectionWithAWrongChecksumIsDamage) {
  process_.transfer();
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.socket ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.taken_baseline ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.given_baseline ^= 1; }), kDamaged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.socket_checksum ^= 1; }), kDamaged);
}

TEST_P(RecoverDamaged, AFlagOfNoMeaningIsDamage) {
  process_.transfer();
  for (std::uint32_t flag = 2 * LedgerRecord::kWriting; flag < 0x10000; flag *= 2)
    EXPECT_EQ(why_after([&](LedgerRecord& r) { r.flags |= flag; }), kDamaged) << flag;
}

TEST_P(RecoverDamaged, ATimeThatNobodyStatesIsDamage) {
  process_.transfer();
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.grace = 60'000'000'000; }), "");
  for (int bit = 56; bit < 64; ++bit)
    EXPECT_EQ(why_after([&](LedgerRecord& r) { r.grace |= std::uint64_t{1} << bit; }), kDamaged);
}

TEST_P(RecoverDamaged, MoreThanTheSystemHasCountedIsNotBelieved) {
  process_.transfer();
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.written_offset = 76; }), kMoreRecorded);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.delivered_offset = 11; }), kMoreRecorded);
}

// After its end nothing can have been read, or written to its application.
TEST_P(RecoverDamaged, NothingIsCountedAfterAnEnd) {
  process_.transfer();
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kFinished; }), "");
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kEndDelivered; }), "");
  process_.read(1);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kFinished; }),
            "more was counted than can have passed");
  process_->commit(1);
  process_.moved->given = 11;
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kEndDelivered; }),
            "more was counted than can have passed");
}

TEST_P(RecoverDamaged, MoreAcknowledgedThanWrittenIsNotBelieved) {
  process_.transfer();
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.acknowledged_offset = 76; }), kMoreAcknowledged);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.acknowledged_offset = UINT64_MAX; }),
            kMoreAcknowledged);
}

TEST_P(RecoverDamaged, BytesThatTheListDoesNotHoldAreMissing) {
  process_.transfer();
  ASSERT_EQ(process_.memory.segments_of(record()).size(), 4U);
  const auto link = [&](std::size_t place) -> SegmentLink& {
    return process_.memory.links[process_.memory.segments_of(record())[place]];
  };
  const auto why_after_link = [&](std::size_t place, const auto& change) {
    SegmentLink& changed = link(place);
    const SegmentLink right = changed;
    change(changed);
    const std::string_view result = why();
    changed = right;
    return result;
  };
  const auto link_to = [&](std::size_t place) {
    return process_.memory.segments_of(record())[place] + 1;
  };
  const std::uint32_t first = link_to(0);
  const std::uint32_t second = link_to(1);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.first_segment = 0; }), kBytesMissing);
  EXPECT_EQ(why_after([](LedgerRecord& r) { r.acknowledged_offset = 15; }), kBytesMissing)
      << "before the first";
  EXPECT_EQ(why_after([&](LedgerRecord& r) { r.first_segment = second; }), kBytesMissing);
  EXPECT_EQ(why_after_link(2, [](SegmentLink& l) { l.next = 0; }), kBytesMissing) << "too short";
  EXPECT_EQ(why_after_link(1, [&](SegmentLink& l) { l.next = first; }), kBytesMissing) << "circle";
  EXPECT_EQ(why_after_link(1, [&](SegmentLink& l) { l.next = second; }), kBytesMissing) << "circle";
  EXPECT_EQ(why_after_link(1, [](SegmentLink& l) { l.number = 3; }), kBytesMissing) << "a gap";
  EXPECT_EQ(why_after_link(1, [](SegmentLink& l) { l.number = 1; }), kBytesMissing) << "twice";
  EXPECT_EQ(why_after_link(0, [](SegmentLink& l) { l.number = UINT64_MAX; }), kBytesMissing);
  EXPECT_EQ(why(), "");
}

TEST_P(RecoverDamaged, AListThatLeavesTheArenaIsNotFollowed) {
  process_.transfer();
  for (const std::uint32_t outside : {65U, 66U, UINT32_MAX}) {
    EXPECT_EQ(why_after([&](LedgerRecord& r) { r.first_segment = outside; }), kBytesMissing);
    SegmentLink& second = process_.memory.links[process_.memory.segments_of(record())[1]];
    const SegmentLink right = second;
    second.next = outside;
    EXPECT_EQ(why(), kBytesMissing);
    second = right;
  }
}

TEST_P(RecoverDamaged, AnArenaShorterThanItsLinksIsNotReadBeyondItsEnd) {
  process_.transfer();
  // All that is left is one segment, and it is the last of the arena.
  constexpr SegmentIndex kSegment = 3;
  record().first_segment = kSegment + 1;
  ASSERT_EQ(process_.memory.links[kSegment].number, 3U);
  record().acknowledged_offset = 48;
  process_.moved->taken = record().written_offset = record().highest_sent = 64;
  LedgerView view = process_.view();
  const auto found_in = [&] { return recover(view, record(), process_.moved); };
  view.arena = view.arena.first(64);
  EXPECT_TRUE(std::holds_alternative<Recovered>(found_in()));
  view.arena = view.arena.first(63);
  EXPECT_TRUE(std::holds_alternative<Unrecoverable>(found_in()));
  view.arena = {};
  EXPECT_TRUE(std::holds_alternative<Unrecoverable>(found_in()));
  view = process_.view();
  view.links = view.links.first(kSegment);
  EXPECT_TRUE(std::holds_alternative<Unrecoverable>(found_in()));
}

TEST_P(RecoverDamaged, AListOfSegmentsThatAllHoldForgottenBytesEnds) {
  process_.transfer();
  std::vector<SegmentLink>& links = process_.memory.links;
  for (std::uint32_t i = 0; i < links.size(); ++i)
    links[i] = {.number = i, .next = i + 1 < links.size() ? i + 2 : 1, .unused = 0};
  record().first_segment = 1;
  record().acknowledged_offset = 64 * 16;
  process_.moved->taken = record().written_offset = 64 * 16 + 1;
  EXPECT_EQ(why(), kBytesMissing);
}

// What no session can be in is refused by the one that is to continue with it.
TEST_P(RecoverDamaged, ARecordThatContradictsItselfGivesNoSession) {
  process_.transfer();
  const auto restores_after = [&](const std::function<void(LedgerRecord&)>& change) {
    const LedgerRecord right = record();
    change(record());
    Successor next;
    const auto restored = next.restore(recovered());
    record() = right;
    return restored;
  };
  EXPECT_TRUE(restores_after([](LedgerRecord&) {}).has_value());
  EXPECT_TRUE(fails_with(restores_after([](LedgerRecord& r) { r.highest_sent = 76; }),
                         Reason::protocol_error));
  EXPECT_TRUE(fails_with(restores_after([](LedgerRecord& r) { r.highest_sent = 19; }),
                         Reason::protocol_error));
  EXPECT_TRUE(fails_with(restores_after([](LedgerRecord& r) { r.window_limit = 9; }),
                         Reason::protocol_error));
  EXPECT_TRUE(
      fails_with(restores_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kFinAcknowledged; }),
                 Reason::protocol_error));
  EXPECT_TRUE(fails_with(restores_after([](LedgerRecord& r) {
                           r.flags |= LedgerRecord::kFinished | LedgerRecord::kFinAcknowledged;
                         }),
                         Reason::protocol_error))
      << "before its data";
}

}  // namespace
}  // namespace backedpipe::test
