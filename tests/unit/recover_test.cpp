// recover(): what can be known of a session from what its process has left.
#include "session/recover.hpp"

#include "tests/support/recover_fixture.hpp"

namespace backedpipe::test {
namespace {

using ServerKnows = DiallingSide::ServerKnows;

class Recover : public RecoverFixture {};
class RecoverClient : public RecoverFixture {};
class RecoverServer : public RecoverFixture {};
INSTANTIATE_TEST_SUITE_P(Session, Recover, testing::Values(Role::client, Role::server), of_role);
INSTANTIATE_TEST_SUITE_P(Session, RecoverClient, testing::Values(Role::client), of_role);
INSTANTIATE_TEST_SUITE_P(Session, RecoverServer, testing::Values(Role::server), of_role);

// --- where it was

TEST_P(Recover, ASessionIsWhereItsProcessWas) {
  process_.transfer();
  const Recovered result = recovered();
  SessionRecord is = process_->record();
  EXPECT_EQ(result.session.id, kId);
  EXPECT_EQ(result.session.role, GetParam());
  EXPECT_EQ(result.session.server_knows, is.server_knows);
  EXPECT_EQ(result.session.links, 1U);
  EXPECT_EQ(result.session.confirmed, is.confirmed);
  EXPECT_FALSE(result.session.application_reset);
  // What was received and not delivered is asked for again.
  is.pipe.reader.end_offset = is.pipe.reader.begin_offset;
  is.pipe.reader.window_size_bytes = 0;
  is.pipe.reader.window_limit = process_->pipe().reader().window().stated_limit();
  EXPECT_EQ(result.session.pipe, is.pipe);
  EXPECT_EQ(text_of(result.held.outbound), stream_text(20, 55));
  EXPECT_TRUE(result.held.inbound.empty());
}

TEST_P(Recover, WhoItIsComesWithIt) {
  process_.connect_application();
  record().restores = 6;
  const Recovered result = recovered();
  EXPECT_EQ(result.labels, 3U);
  EXPECT_EQ(result.created_at, 4U);
  EXPECT_EQ(result.detached_since, 5U);
  EXPECT_EQ(result.restores, 6U);
  ASSERT_TRUE(result.connection);
  EXPECT_EQ(result.connection->socket, 77U);
  EXPECT_EQ(result.connection->taken_baseline, 8U);
  EXPECT_EQ(result.connection->given_baseline, 9U);
  EXPECT_FALSE(result.connection->uncounted);
  process_.attach(1);
  EXPECT_FALSE(recovered().detached_since);
}

TEST_P(Recover, GoesOnAsIfTheLinkHadDropped) {
  process_.transfer();
  Successor next;
  ASSERT_TRUE(next.restore(recovered()).has_value());
  EXPECT_EQ(next->phase(), Session::Phase::open);
  EXPECT_EQ(next->pipe().reader().received_sequence(), 10U);
  EXPECT_EQ(held_text(next->pipe().writer().ring(), 20), stream_text(20, 55));
  EXPECT_EQ(next->pipe().writer().highest_sent(), 60U);
}

TEST_P(Recover, WhatTheSystemHasCountedIsBelievedAndNotWhatIsRecorded) {
  process_.transfer();
  process_.read(30);
  process_.moved->given += 5;
  const Recovered result = recovered();
  EXPECT_EQ(record().written_offset, 75U);
  EXPECT_EQ(result.session.pipe.writer.end_offset, 105U);
  EXPECT_EQ(text_of(result.held.outbound), stream_text(20, 85));
  EXPECT_EQ(record().delivered_offset, 10U);
  EXPECT_EQ(result.session.pipe.reader.begin_offset, 15U);
  EXPECT_EQ(result.session.pipe.reader.end_offset, 15U);
}

TEST_P(Recover, AnEndThatWasPassedOnIsFoundInTheCounts) {
  process_.transfer();
  process_.moved->end_given = true;
  const ReaderRecord reader = recovered().session.pipe.reader;
  EXPECT_TRUE(reader.end_delivered);
  EXPECT_TRUE(reader.fin_received);
}

TEST_P(Recover, AnEndThatIsRecordedNeedNotBeCounted) {
  process_.transfer();
  process_->ledger().end_delivered();
  EXPECT_TRUE(recovered().session.pipe.reader.end_delivered);
}

// --- what an interrupted change leaves

TEST_P(Recover, MoreSegmentsMayBeListedThanHoldBytes) {
  process_.transfer();
  std::array<MutableBytes, 8> pieces;
  ASSERT_GT(process_->prepare(100, pieces), 3U);
  EXPECT_EQ(text_of(recovered().held.outbound), stream_text(20, 55));
}

TEST_P(Recover, ForgottenSegmentsMayStillBeListed) {
  process_.transfer();
  process_->ledger().acknowledged(50);
  ASSERT_EQ(process_.memory.links[record().first_segment - 1].number, 1U);
  EXPECT_EQ(text_of(recovered().held.outbound), stream_text(50, 25));
  process_->ledger().acknowledged(75);
  const Recovered result = recovered();
  EXPECT_TRUE(result.held.outbound.empty());
  EXPECT_EQ(result.session.pipe.writer.end_offset, 75U);
}

TEST_P(Recover, WhatTheListHoldsAfterTheLastByteDoesNotMatter) {
  process_.transfer();
  const SegmentIndex last = process_.memory.segments_of(record()).back();
  for (const std::uint32_t next : {record().first_segment, last + 1, 65U, UINT32_MAX}) {
    process_.memory.links[last].next = next;
    EXPECT_EQ(text_of(recovered().held.outbound), stream_text(20, 55));
  }
}

// The process may end before any store. Whatever it has told the outside must still be true.
TEST_P(Recover, TheProcessMayEndBeforeAnyStore) {
  struct Told {
    std::uint64_t sent = 0;
    std::uint64_t limit = 0;
    std::uint64_t generation = 0;
    std::uint64_t taken_by_peer = 0;
  } told;
  std::size_t stores = 0;
  const auto look = [&] {
    ++stores;
    if (record().state != LedgerRecord::State::session) return;
    const Recovered result = recovered();
    const PipeRecord& pipe = result.session.pipe;
    Successor next;
    ASSERT_TRUE(next.restore(result).has_value());
    EXPECT_EQ(pipe.writer.end_offset, process_.moved->taken);
    EXPECT_EQ(pipe.reader.begin_offset, process_.moved->given);
    EXPECT_GE(pipe.writer.highest_sent, told.sent);
    EXPECT_LE(pipe.writer.begin_offset, told.taken_by_peer);
    EXPECT_GE(pipe.reader.window_limit, told.limit);
    EXPECT_GE(pipe.highest_generation, told.generation);
    EXPECT_EQ(
        text_of(result.held.outbound),
        stream_text(pipe.writer.begin_offset,
                    static_cast<std::size_t>(pipe.writer.end_offset - pipe.writer.begin_offset)));
  };
  process_.connect_application();
  const BeforeEachStore at_each(process_.memory, look);
  for (std::uint64_t generation = 1; generation <= 4 && !HasFatalFailure(); ++generation) {
    Position peer = peer_at(told.taken_by_peer);
    process_.attach(generation, peer);
    told.generation = generation;
    told.limit = process_->pipe().reader().window().stated_limit();
    for (int i = 0; i < 10; ++i) {
      process_.write(37);
      for (const SeenFrame& frame : frames_in(process_.say())) {
        if (frame.type == FrameType::window) told.limit = frame.value;
        if (frame.type == FrameType::data) told.sent = frame.value + frame.payload.size();
      }
      const std::uint64_t received = process_->pipe().reader().received_sequence();
      // What is acknowledged here may be found forgotten from now on.
      told.taken_by_peer = process_->pipe().writer().sent() - 5;
      process_.hear(data_frame(received, stream_text(received, 23), told.taken_by_peer));
      process_.deliver(process_->pipe().reader().ring().size());
    }
    process_->link_lost(link_error(generation), kStart);
    if (GetParam() == Role::client) process_->try_now(kStart);
  }
  process_.attach(5, peer_at(told.taken_by_peer));
  told.taken_by_peer = process_.moved->taken + 1;
  process_.finish();
  EXPECT_GT(stores, 300U);
}

// --- connections that nobody counts

TEST_P(Recover, WhereNobodyCountsTheRecordIsBelieved) {
  process_.transfer();
  record().flags |= LedgerRecord::kUncounted;
  process_.moved = TcpMoved{.taken = 1'000'000, .given = 0, .end_given = true};
  const Recovered result = recovered();
  EXPECT_FALSE(result.session.pipe.reset_reason);
  EXPECT_EQ(result.session.pipe.writer.end_offset, 75U);
  EXPECT_EQ(result.session.pipe.reader.begin_offset, 10U);
  EXPECT_FALSE(result.session.pipe.reader.end_delivered);
  EXPECT_TRUE(result.connection->uncounted);
}

TEST_P(Recover, WhereNobodyCountsACallUnderWayEndsTheSession) {
  process_.transfer();
  for (const auto flag : {LedgerRecord::kReading, LedgerRecord::kWriting}) {
    record().flags |= LedgerRecord::kUncounted | flag;
    const Recovered result = recovered();
    EXPECT_EQ(result.session.pipe.reset_reason, Reason::application_reset);
    EXPECT_TRUE(result.session.application_reset);
    EXPECT_TRUE(result.connection) << "which is to be reset";
    record().flags &= ~(LedgerRecord::kUncounted | flag);
  }
}

TEST_P(Recover, WhereTheSystemCountsACallUnderWayDoesNotMatter) {
  process_.transfer();
  record().flags |= LedgerRecord::kReading | LedgerRecord::kWriting;
  EXPECT_FALSE(recovered().session.pipe.reset_reason);
}

// --- without a connection

TEST_P(Recover, WithoutItsApplicationASessionIsReset) {
  process_.transfer();
  process_.moved.reset();
  const Recovered result = recovered();
  EXPECT_EQ(result.session.pipe.reset_reason, Reason::application_reset);
  EXPECT_TRUE(result.session.application_reset);
  EXPECT_TRUE(result.held.outbound.empty());
  Successor next;
  ASSERT_TRUE(next.restore(result).has_value());
  EXPECT_TRUE(next->application_done());
  // A server's client has no link, and hears of it when it comes back.
  EXPECT_EQ(next->phase(),
            GetParam() == Role::client ? Session::Phase::resetting : Session::Phase::over);
}

TEST_P(Recover, WithOneEndOutstandingItStillNeedsItsApplication) {
  process_.transfer();
  process_.moved.reset();
  record().flags |= LedgerRecord::kEndDelivered;
  EXPECT_TRUE(recovered().session.pipe.reset_reason);
  record().flags ^= LedgerRecord::kEndDelivered | LedgerRecord::kFinished;
  record().flags |= LedgerRecord::kFinAcknowledged;
  EXPECT_TRUE(recovered().session.pipe.reset_reason);
}

TEST_P(RecoverClient, ASessionThatIsDoneNeedsNoApplication) {
  process_.transfer();
  process_.finish();
  ASSERT_EQ(process_->phase(), Session::Phase::lingering);
  const std::uint64_t delivered = process_.moved->given;
  for (const bool still_there : {true, false}) {
    if (!still_there) process_.moved.reset();
    const Recovered result = recovered();
    EXPECT_FALSE(result.session.pipe.reset_reason);
    EXPECT_EQ(result.session.pipe.writer.begin_offset, 75U);
    EXPECT_EQ(result.session.pipe.writer.end_offset, 75U);
    EXPECT_EQ(result.session.pipe.reader.begin_offset, delivered);
    Successor next;
    ASSERT_TRUE(next.restore(result).has_value());
    EXPECT_EQ(next->phase(), Session::Phase::lingering);
    EXPECT_TRUE(next->application_done());
  }
}

// Its counts are not asked any more: a connection that was closed need not have right ones.
TEST_P(RecoverClient, OfASessionThatIsDoneTheRecordIsBelieved) {
  process_.transfer();
  process_.finish();
  process_.moved = TcpMoved{};
  EXPECT_EQ(recovered().session.pipe.writer.end_offset, 75U);
}

TEST_P(RecoverServer, ASessionThatIsDoneSaysSoAgain) {
  process_.transfer();
  process_.finish();
  process_.moved.reset();
  const Recovered result = recovered();
  EXPECT_EQ(result.session.pipe.reset_reason, Reason::closed);
  EXPECT_FALSE(result.session.application_reset);
  Successor next;
  ASSERT_TRUE(next.restore(result).has_value());
  EXPECT_TRUE(next->over()) << "and leaves a tombstone";
}

TEST_P(RecoverClient, AClientWhoseApplicationWasNotRecordedYetIsReset) {
  process_.moved.emplace();
  const Recovered result = recovered();
  EXPECT_EQ(result.session.pipe.reset_reason, Reason::application_reset);
  EXPECT_TRUE(result.session.application_reset);
  EXPECT_FALSE(result.connection);
}

TEST_P(RecoverServer, AServerWhoseTargetWasNotRecordedYetDialsItAgain) {
  process_.attach(1);
  process_.hear(data_frame(0, "hello"));
  for (const bool connected : {false, true}) {
    if (connected) process_.moved = TcpMoved{.taken = 5};
    const Recovered result = recovered();
    EXPECT_FALSE(result.session.pipe.reset_reason);
    EXPECT_FALSE(result.connection);
    EXPECT_EQ(result.session.pipe.writer.end_offset, 0U);
    EXPECT_EQ(result.session.pipe.reader.begin_offset, 0U) << "the client sends it again";
    Successor next;
    ASSERT_TRUE(next.restore(result).has_value());
    EXPECT_FALSE(next->application_done());
  }
}

// If its target were dialled again, the rest of a stream would look like the whole of it.
TEST_P(RecoverServer, AServerThatHasMovedSomethingHadATarget) {
  process_.attach(1);
  const auto reset_after = [this](const auto& change) {
    const LedgerRecord right = record();
    change(record());
    const auto reason = recovered().session.pipe.reset_reason;
    record() = right;
    return reason;
  };
  EXPECT_EQ(reset_after([](LedgerRecord&) {}), std::nullopt);
  EXPECT_EQ(reset_after([](LedgerRecord& r) { r.written_offset = 1; }), Reason::application_reset);
  EXPECT_EQ(reset_after([](LedgerRecord& r) { r.delivered_offset = 1; }),
            Reason::application_reset);
  EXPECT_EQ(reset_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kFinished; }),
            Reason::application_reset);
  EXPECT_EQ(reset_after([](LedgerRecord& r) { r.flags |= LedgerRecord::kEndDelivered; }),
            Reason::application_reset);
}

TEST_P(RecoverServer, AConnectionThatIsOnlyHalfRecordedIsNone) {
  process_.attach(1);
  record().socket = 5;
  EXPECT_FALSE(recovered().connection);
}

// --- resets

TEST_P(Recover, AResetGoesOnWithItsReason) {
  process_.transfer();
  process_->reset(Reason::closed_by_operator);
  record().first_segment = UINT32_MAX;
  for (const bool still_there : {true, false}) {
    if (!still_there) process_.moved.reset();
    const Recovered result = recovered();
    EXPECT_EQ(result.session.pipe.reset_reason, Reason::closed_by_operator);
    EXPECT_TRUE(result.session.application_reset) << "it may not have been told";
    EXPECT_TRUE(result.session.pipe.writer.discarded);
    EXPECT_TRUE(result.held.outbound.empty());
    EXPECT_EQ(result.session.pipe.reader.begin_offset, 40U) << "nothing is asked for again";
  }
}

TEST_P(Recover, AResetOfWhichOnlyThePeerMustHearLeavesItsApplicationAlone) {
  process_.transfer();
  process_.finish();
  process_->ledger().resetting(Reason::closed);
  EXPECT_EQ(recovered().session.pipe.reset_reason, Reason::closed);
  EXPECT_FALSE(recovered().session.application_reset);
}

TEST_P(Recover, AResetReachesAnApplicationThatWaitsForSomething) {
  process_.transfer();
  process_->ledger().resetting(Reason::closed);
  EXPECT_TRUE(recovered().session.application_reset);
}

TEST_P(Recover, AReasonOfALaterVersionIsKept) {
  process_.transfer();
  process_->ledger().resetting(static_cast<Reason>(0x7fff));
  EXPECT_EQ(recovered().session.pipe.reset_reason, static_cast<Reason>(0x7fff));
}

// The two are one store. If only one of them is there, the session cannot go on without its
// application.
TEST_P(Recover, AnApplicationThatIsResetWithoutAReasonEndsTheSession) {
  process_.transfer();
  record().flags |= LedgerRecord::kApplicationReset;
  const Recovered result = recovered();
  EXPECT_EQ(result.session.pipe.reset_reason, Reason::application_reset);
  EXPECT_TRUE(result.session.application_reset);
}

// --- what each side must remember

TEST_P(RecoverClient, AClientRemembersWhatTheServerKnows) {
  process_.connect_application();
  EXPECT_EQ(recovered().session.server_knows, ServerKnows::no);
  process_->start(kStart);
  ASSERT_TRUE(process_->begin_handshake(1, kStart, nullptr));
  EXPECT_EQ(recovered().session.server_knows, ServerKnows::perhaps);
  process_->welcomed({.session = kId, .generation = 1, .position = peer_at(0)}, kStart);
  EXPECT_EQ(recovered().session.server_knows, ServerKnows::yes);
  EXPECT_TRUE(recovered().session.confirmed);
}

TEST_P(RecoverServer, AServerRemembersWhetherItsClientHasShown) {
  process_.connect_application();
  process_.attach(1);
  EXPECT_FALSE(recovered().session.confirmed);
  process_.hear(frame_text(FrameType::ack, 0));
  EXPECT_TRUE(recovered().session.confirmed);
}

TEST_P(Recover, AWindowThatWasUsedUpOpensAgain) {
  process_.transfer();
  record().window_limit = 10;
  Successor next;
  ASSERT_TRUE(next.restore(recovered()).has_value());
  EXPECT_EQ(next->pipe().reader().window().stated_limit(), 10U);
  EXPECT_GT(next->pipe().reader().window().limit(), 10U);
}

// The process ended before the session had more than its record.
TEST_P(Recover, AWindowLimitThatWasNeverRecordedIsTheFirst) {
  LedgerMemory memory;
  const LedgerEntry entry(memory.ledger,
                          {.id = kId, .role = static_cast<std::uint32_t>(GetParam())});
  const LedgerView view{.records = memory.records,
                        .links = memory.links,
                        .arena = memory.arena,
                        .segment_bytes = memory.pool.segment_bytes()};
  const auto result = recover(view, entry.record(), std::nullopt);
  ASSERT_TRUE(std::holds_alternative<Recovered>(result));
  Successor next;
  ASSERT_TRUE(next.restore(std::get<Recovered>(result)).has_value());
  EXPECT_EQ(next->pipe().reader().window().limit(), kSmallPipe.initial_window_bytes);
}

}  // namespace
}  // namespace backedpipe::test
