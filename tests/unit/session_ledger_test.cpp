// What a session and its pump have recorded by the time anybody outside hears of it.
#include <functional>

#include "session/pump/session_pump.hpp"
#include "tests/support/ledger_fixture.hpp"
#include "tests/support/session_fixture.hpp"

namespace backedpipe::test {
namespace {

using Status = IoResult::Status;

LedgerEntry entry_of(LedgerMemory& memory, Role role) {
  return {memory.ledger,
          {.id = kId, .role = static_cast<std::uint32_t>(role), .detached_since = 1}};
}

// --- a session

class SessionLedger : public testing::Test {
 protected:
  void make(Role role) {
    session_.emplace(Session::Identity{.id = kId, .role = role, .service = "ssh"}, *pool_,
                     small_options(), 1, kStart, entry_of(memory_, role));
    stores_.take();
  }
  Result<Welcome> attach(std::uint64_t generation, bool open, TimePoint now = kStart) {
    return session_->attach({.session = kId,
                             .generation = generation,
                             .position = peer_at(0),
                             .open = open,
                             .service = open ? "ssh" : ""},
                            open, now);
  }
  const LedgerRecord& record() { return memory_.records[0]; }

  ArenaPool pool_;
  LedgerMemory memory_;
  std::optional<Session> session_;
  Stores stores_{memory_};
};

TEST_F(SessionLedger, AGenerationIsThereBeforeItsHello) {
  make(Role::client);
  session_->start(kStart);
  EXPECT_EQ(stores_.take(), "generation 1");
  const auto hello = session_->begin_handshake(1, kStart, nullptr);
  ASSERT_TRUE(hello);
  EXPECT_EQ(stores_.take(), "said hello") << "before the HELLO";
  EXPECT_GE(record().window_limit, hello->position.window_limit);
}

TEST_F(SessionLedger, AWelcomeIsRecordedBeforeItHasAnyEffect) {
  make(Role::client);
  session_->start(kStart);
  ASSERT_TRUE(session_->begin_handshake(1, kStart, nullptr));
  session_->ledger().detached(5);
  stores_.take();
  session_->welcomed({.session = kId, .generation = 1, .position = peer_at(0)}, kStart);
  EXPECT_EQ(stores_.take(), "welcomed, links 1, detached 0");
  session_->link_lost(link_error(1), at(seconds(7)));
  EXPECT_EQ(stores_.take(), "detached 7000000000");
}

TEST_F(SessionLedger, AServerHasTheGenerationBeforeItsWelcome) {
  make(Role::server);
  const auto welcome = attach(6, true);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(record().highest_generation, 6U);
  EXPECT_GE(record().window_limit, welcome->position.window_limit);
  EXPECT_EQ(stores_.take(), "generation 6, links 1, detached 0");
}

TEST_F(SessionLedger, AServerRecordsThatItsClientHasShown) {
  make(Role::server);
  ASSERT_TRUE(attach(1, true).has_value());
  stores_.take();
  session_->receive(1, bytes_of(frame_text(FrameType::ack, 0)), kStart);
  EXPECT_EQ(stores_.take(), "confirmed");

  session_.reset();
  make(Role::server);
  ASSERT_TRUE(attach(1, false).has_value());
  EXPECT_TRUE(record().flags & LedgerRecord::kConfirmed);
}

TEST_F(SessionLedger, AResetIsRecordedBeforeAnybodyIsTold) {
  for (const Reason reason : {Reason::application_reset, Reason::closed_by_operator}) {
    make(Role::server);
    ASSERT_TRUE(attach(1, true).has_value());
    stores_.take();
    session_->reset(reason);
    EXPECT_EQ(stores_.take(),
              "application reset, reason " + std::to_string(static_cast<std::uint16_t>(reason)));
    session_.reset();
  }
}

TEST_F(SessionLedger, ACleanEndIsRecordedAsOne) {
  make(Role::server);
  ASSERT_TRUE(attach(1, true).has_value());
  session_->finish();
  std::array<ConstBytes, 8> pieces;
  while (const std::size_t count = session_->outgoing(kStart, pieces))
    session_->sent(1, text_of(std::span(pieces).first(count)).size());
  session_->receive(1, bytes_of(frame_text(FrameType::fin, 1, 0)), kStart);
  stores_.take();
  session_->end_delivered(kStart);
  EXPECT_EQ(stores_.take(), "end delivered, reason 1");
  EXPECT_FALSE(record().flags & LedgerRecord::kApplicationReset);
}

TEST_F(SessionLedger, TheEndOfASessionWithoutAResetTellsItsApplicationWhy) {
  make(Role::client);
  session_->start(kStart);
  ASSERT_TRUE(session_->begin_handshake(1, kStart, nullptr));
  stores_.take();
  session_->refused(1, Reason::unknown_service, kStart);
  EXPECT_TRUE(session_->over());
  EXPECT_EQ(stores_.take(), "application reset, reason 5");
}

TEST_F(SessionLedger, WhatIsRestoredIsRecorded) {
  SessionRecord state{.id = kId,
                      .role = Role::client,
                      .service = "ssh",
                      .server_knows = DiallingSide::ServerKnows::yes,
                      .links = 4,
                      .pipe = {}};
  state.pipe.reader.window_limit = 64;
  state.pipe.highest_generation = 5;
  make(Role::client);
  ASSERT_TRUE(session_->restore(state, {}).has_value());
  EXPECT_EQ(record().links, 4U);
  EXPECT_EQ(record().highest_generation, 5U);
  EXPECT_EQ(record().flags,
            LedgerRecord::kSaidHello | LedgerRecord::kWelcomed | LedgerRecord::kConfirmed);
  session_->without_link_since(at(seconds(-3)), {});
  EXPECT_EQ(record().detached_since, static_cast<std::uint64_t>(-3'000'000'000));

  session_.reset();
  state.server_knows = DiallingSide::ServerKnows::perhaps;
  state.application_reset = true;
  state.pipe.reset_reason = Reason::expired;
  state.pipe.writer.discarded = true;
  make(Role::client);
  ASSERT_TRUE(session_->restore(state, {}).has_value());
  EXPECT_EQ(record().reset_reason(), Reason::expired);
  EXPECT_EQ(record().flags & 0xffff,
            LedgerRecord::kSaidHello | LedgerRecord::kConfirmed | LedgerRecord::kApplicationReset);
}

// --- a pump, and an application that looks at the record whenever it is called

struct Witness final : ApplicationEnd {
  explicit Witness(LedgerMemory& memory_of) : memory(memory_of) {}

  IoResult read(std::span<const MutableBytes>) override {
    seen("read");
    return on_read;
  }
  IoResult write(std::span<const ConstBytes> pieces) override {
    seen("write");
    if (on_write.status != Status::ok) return on_write;
    return {.bytes = std::min(total_bytes(pieces), on_write.bytes)};
  }
  boost::system::error_code take_error() override {
    seen("take error");
    return pending;
  }
  std::optional<Unanswered> unanswered() override { return std::nullopt; }
  void finish() override { seen("finish"); }
  void close() override { seen("close"); }
  void reset() override { seen("reset"); }

  void seen(const std::string& call) {
    const LedgerRecord& record = memory.records[0];
    calls += call;
    if ((record.flags & LedgerRecord::kReading) != 0) calls += " reading";
    if ((record.flags & LedgerRecord::kWriting) != 0) calls += " writing";
    if ((record.flags & LedgerRecord::kApplicationReset) != 0)
      calls += " as recorded: " + std::string(name(record.reset_reason()));
    calls += "; ";
  }

  LedgerMemory& memory;
  IoResult on_read{.status = Status::want_read, .drained = true};
  IoResult on_write{.bytes = 3};
  boost::system::error_code pending;
  std::string calls;
};

struct SilentLink final : LinkEnd {
  IoResult read(std::span<const MutableBytes>) override {
    return {.status = Status::want_read, .drained = true};
  }
  IoResult write(std::span<const ConstBytes> pieces) override {
    return {.bytes = total_bytes(pieces)};
  }
  bool drained() const override { return true; }
  std::optional<TcpAnswer> tcp_answer(TimePoint) override { return std::nullopt; }
};

class PumpLedger : public testing::Test {
 protected:
  // A server with a link, and an application whose bytes the system counts or not.
  void connect(bool uncounted) {
    pump_.session().ledger().connected({.uncounted = uncounted});
    ASSERT_TRUE(pump_.connect_application(application_, SessionPump::FirstWord::unlikely));
    ASSERT_TRUE(pump_
                    .attach(link_,
                            {.session = kId,
                             .generation = 1,
                             .position = peer_at(0),
                             .open = true,
                             .service = "ssh"},
                            true, {}, kStart)
                    .has_value());
  }
  void hear(const std::string& frames) {
    pump_.session().receive(1, bytes_of(frames), kStart);
    pump_.application_ready(SessionPump::Direction::write);
  }
  std::string calls_of_a_turn() {
    pump_.pump(kStart);
    return std::exchange(application_.calls, {});
  }
  std::uint32_t flags() const { return memory_.records[0].flags; }

  ArenaPool pool_;
  LedgerMemory memory_;
  std::vector<std::byte> scratch_ = std::vector<std::byte>(SessionPump::kLeastScratchBytes);
  SessionPump::Memory of_pumps_{*pool_, scratch_};
  SessionPump pump_{{.id = kId, .role = Role::server, .service = "ssh"},
                    of_pumps_,
                    small_options(),
                    1,
                    kStart,
                    entry_of(memory_, Role::server)};
  Witness application_{memory_};
  SilentLink link_;
};

TEST_F(PumpLedger, CallsThatNobodyCountsAreNoted) {
  connect(true);
  pump_.application_ready(SessionPump::Direction::read);
  hear(data_frame(0, "hello") + frame_text(FrameType::fin, 0, 5));
  EXPECT_EQ(calls_of_a_turn(), "read reading; write writing; write writing; finish; ");
  EXPECT_FALSE(flags() & (LedgerRecord::kReading | LedgerRecord::kWriting));
}

TEST_F(PumpLedger, CallsThatTheSystemCountsAreNot) {
  connect(false);
  pump_.application_ready(SessionPump::Direction::read);
  hear(data_frame(0, "hello"));
  EXPECT_EQ(calls_of_a_turn(), "read; write; write; ");
}

TEST_F(PumpLedger, WhatNobodyCountedIsRecordedBeforeTheCallCountsAsOver) {
  connect(true);
  const BeforeEachStore at_each(memory_, [&] {
    const LedgerRecord& record = memory_.records[0];
    const BackedPipe& pipe = pump_.session().pipe();
    EXPECT_TRUE((record.flags & LedgerRecord::kWriting) != 0 ||
                record.delivered_offset == pipe.reader().ring().begin());
    EXPECT_TRUE((record.flags & LedgerRecord::kReading) != 0 ||
                record.written_offset == pipe.writer().ring().end());
  });
  application_.on_read = {.bytes = 4, .drained = true};
  pump_.application_ready(SessionPump::Direction::read);
  hear(data_frame(0, "hello"));
  calls_of_a_turn();
  EXPECT_EQ(memory_.records[0].written_offset, 4U);
  EXPECT_EQ(memory_.records[0].delivered_offset, 5U);
  EXPECT_GT(at_each.count(), 8U);
}

TEST_F(PumpLedger, AnApplicationThatFailedIsResetAfterThatIsRecorded) {
  connect(false);
  application_.on_read = {.status = Status::failed,
                          .error = make_error_code(boost::system::errc::connection_reset)};
  pump_.application_ready(SessionPump::Direction::read);
  EXPECT_EQ(calls_of_a_turn(), "read; reset as recorded: application_reset; ");
}

// The system tells an error once, and does not count it.
TEST_F(PumpLedger, AnErrorIsRecordedBeforeTheCallCountsAsOver) {
  connect(true);
  application_.on_read = {.status = Status::failed,
                          .error = make_error_code(boost::system::errc::connection_reset)};
  pump_.application_ready(SessionPump::Direction::read);
  EXPECT_EQ(calls_of_a_turn(), "read reading; reset reading as recorded: application_reset; ");
  EXPECT_FALSE(flags() & LedgerRecord::kReading);
}

TEST_F(PumpLedger, AnErrorThatIsAskedForIsRecordedBeforeTheCallCountsAsOver) {
  connect(true);
  application_.on_read = {.status = Status::closed};
  pump_.application_ready(SessionPump::Direction::read);
  EXPECT_EQ(calls_of_a_turn(), "read reading; ");
  application_.pending = make_error_code(boost::system::errc::connection_reset);
  pump_.application_broken();
  EXPECT_EQ(calls_of_a_turn(),
            "take error reading; reset reading as recorded: application_reset; ");
  EXPECT_FALSE(flags() & LedgerRecord::kReading);
}

TEST_F(PumpLedger, AnApplicationThatFailedToTakeBytesIsResetAfterThatIsRecorded) {
  connect(true);
  application_.on_write = {.status = Status::failed,
                           .error = make_error_code(boost::system::errc::broken_pipe)};
  hear(data_frame(0, "hello"));
  EXPECT_EQ(calls_of_a_turn(), "write writing; reset writing as recorded: application_reset; ");
}

TEST_F(PumpLedger, AnApplicationIsResetAfterThatIsRecorded) {
  connect(false);
  calls_of_a_turn();
  pump_.session().reset(Reason::closed_by_operator);
  EXPECT_EQ(calls_of_a_turn(), "reset as recorded: closed_by_operator; ");
}

}  // namespace
}  // namespace backedpipe::test
