// recover() and Session::restore: whatever a process has left in its ledger is refused, or gives a
// session that is in order, can go on, and has all of it in the ledger of the next process. Input:
// 1 byte that chooses where the ledger comes from: the fuzzer's bytes as they are, or a session that
// has lived for a while, with some of it overwritten; then that; then what the restored one meets.
#include "session/recover.hpp"

#include <array>
#include <cstring>
#include <vector>

#include "tests/fuzz/session_life.hpp"
#include "tests/support/ledger_agreement.hpp"

namespace backedpipe::fuzz {
namespace {

constexpr PipeOptions kPipeOptions{
    .replay_buffer_bytes = 2048, .initial_window_bytes = 256, .max_window_bytes = 1024};
constexpr std::size_t kSegmentBytes = 64;
constexpr std::size_t kSegmentCount = 48;

// What one process has of its own, and leaves.
class Memory {
 public:
  explicit Memory(std::size_t segment_bytes = kSegmentBytes)
      : arena(kSegmentCount * kSegmentBytes),
        links(arena.size() / segment_bytes),
        ledger(records, links),
        outbound(arena, segment_bytes) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  LedgerView view() const {
    return {.records = records,
            .links = links,
            .arena = arena,
            .segment_bytes = outbound.segment_bytes()};
  }
  Session new_session(const SessionId& id, Role role) {
    SessionOptions options;
    options.pipe = kPipeOptions;
    LedgerEntry entry(ledger, {.id = id, .role = static_cast<std::uint32_t>(role)});
    return {Session::Identity{.id = id, .role = role, .service = "ssh"},
            PipePools{inbound, outbound},
            options,
            1,
            TimePoint{},
            std::move(entry)};
  }

  std::vector<std::byte> arena;
  std::vector<SegmentLink> links;
  std::array<LedgerRecord, 2> records;
  Ledger ledger;
  SegmentPool outbound;
  std::vector<std::byte> inbound_arena = std::vector<std::byte>(32 * kSegmentBytes);
  SegmentPool inbound{inbound_arena, kSegmentBytes};
};

// --- what a process has left

std::span<std::byte> bytes_of(LedgerRecord& record) {
  return std::as_writable_bytes(std::span(&record, 1));
}

// As far as the input goes.
void overwrite(std::span<std::byte> bytes, FuzzInput& input) {
  const auto with = input.take(bytes.size());
  if (!with.empty()) std::memcpy(bytes.data(), with.data(), with.size());
}

void overwrite_some(std::span<std::byte> bytes, FuzzInput& input) {
  for (std::uint8_t left = input.byte() % 8; left > 0; --left) {
    const std::size_t at = input.number(2) % bytes.size();
    bytes[at] = static_cast<std::byte>(input.byte());
  }
}

// Numbers near others of the record are where comparisons of them go wrong.
void mix_up_numbers(LedgerRecord& record, FuzzInput& input) {
  std::array<std::uint64_t, sizeof record / sizeof(std::uint64_t)> numbers;
  std::memcpy(numbers.data(), &record, sizeof record);
  for (std::uint8_t left = input.byte() % 4; left > 0; --left) {
    std::uint64_t& number = numbers[input.byte() % numbers.size()];
    const std::uint8_t from = input.byte();
    number = near(from < numbers.size() ? numbers[from] : 0, input);
  }
  std::memcpy(static_cast<void*>(&record), numbers.data(), sizeof record);
}

// Otherwise chance would never get past them.
void mend_checksums(LedgerRecord& record) {
  record.checksum = checksum_of(record);
  record.socket_checksum = socket_checksum_of(record);
}

std::optional<TcpMoved> any_moved(FuzzInput& input) {
  const std::uint8_t flags = input.byte();
  if ((flags & 1) != 0) return std::nullopt;
  return TcpMoved{.taken = input.number(8),
                  .given = input.number(8),
                  .end_received = (flags & 2) != 0,
                  .end_given = (flags & 4) != 0};
}

std::optional<TcpMoved> leave_anything(Memory& memory, FuzzInput& input) {
  overwrite(bytes_of(memory.records[0]), input);
  if (input.coin()) mend_checksums(memory.records[0]);
  const auto moved = any_moved(input);
  overwrite(std::as_writable_bytes(std::span(memory.links)).first(input.byte()), input);
  return moved;
}

std::optional<TcpMoved> leave_a_life(Memory& memory, FuzzInput& input) {
  const std::uint8_t shape = input.byte();
  const Role role = (shape & 1) != 0 ? Role::server : Role::client;
  const bool uncounted = (shape & 2) != 0;
  std::optional<TcpMoved> moved;
  Session session = memory.new_session({}, role);
  if (role == Role::client || (shape & 4) != 0) {
    session.ledger().connected(
        {.socket = 1, .taken_baseline = 2, .given_baseline = 3, .uncounted = uncounted});
    moved.emplace();
  }
  SessionLife life(session, moved);
  session.start(TimePoint{});
  for (std::uint8_t left = input.byte() % 32; left > 0 && !session.over(); --left)
    life.step(input);
  if (!uncounted) life.pass_unnoticed(input);
  // What the destructors do is no part of what it leaves.
  memory.ledger.freeze();
  return life.moved();
}

void overwrite_some(Memory& memory, std::optional<TcpMoved>& moved, FuzzInput& input) {
  LedgerRecord& record = memory.records[0];
  overwrite_some(bytes_of(record), input);
  mix_up_numbers(record, input);
  overwrite_some(std::as_writable_bytes(std::span(memory.links)), input);
  if (input.coin()) mend_checksums(record);
  switch (input.byte() % 8) {
    case 0:
      moved = any_moved(input);
      break;
    case 1:
      if (moved) moved->taken = near(moved->taken, input);
      break;
    case 2:
      if (moved) moved->given = near(moved->given, input);
      break;
    default:
      break;
  }
}

// --- what the next process makes of it

void check(const Session& session, const Memory& memory) {
  const BackedPipe& pipe = session.pipe();
  const RingBuffer& out = pipe.writer().ring();
  const RingBuffer& in = pipe.reader().ring();
  require(memory.outbound.segments_in_use() == out.segment_count() &&
              memory.inbound.segments_in_use() == in.segment_count(),
          "every segment belongs to a ring");
  require(
      out.size() <= kPipeOptions.replay_buffer_bytes && in.size() <= kPipeOptions.max_window_bytes,
      "what is held is within the limits");
  const BackedWriter& writer = pipe.writer();
  require(pipe.resetting() || session.over() ||
              (writer.acknowledged() <= writer.highest_sent() &&
               writer.sent() <= writer.highest_sent() && writer.highest_sent() <= writer.end()),
          "acknowledged, sent, ever sent, end: in this order");
}

// If this process ended now, the next one would know the session as this one does.
Recovered check_ledger(const Session& session, const Memory& memory,
                       const std::optional<TcpMoved>& moved) {
  const auto found = recover(memory.view(), session.pipe().ledger().record(), moved);
  const auto* recovered = std::get_if<Recovered>(&found);
  require(recovered != nullptr, "a session that goes on is in the ledger");
  const auto different = test::difference(session, *recovered);
  if (different) std::fprintf(stderr, "fuzz: %.*s\n", int(different->size()), different->data());
  require(!different, "the ledger knows the session");
  return *recovered;
}

// The session in the memory of the next process, as it puts it there. False: no session can be in
// this state.
bool restore(Session& session, const Recovered& recovered) {
  if (recovered.connection) session.ledger().connected(*recovered.connection);
  if (!session.restore(recovered.session, recovered.held.bytes())) return false;
  if (recovered.detached_since) {
    session.without_link_since(
        TimePoint(Duration(static_cast<std::int64_t>(*recovered.detached_since))), recovered.grace);
  }
  return true;
}

void check_restored(const Session& session, const LedgerRecord& record,
                    const Recovered& recovered) {
  const BackedPipe& pipe = session.pipe();
  require(session.id() == record.id, "it is the same session");
  require(pipe.state() == PipeState::disconnected || session.over(), "it has no link");
  require(pipe.reader().window().limit() >= record.window_limit,
          "no limit is taken back that was stated");
  // What was delivered or read is gone with the connection on which it passed.
  require(!session.pipe().resetting() || session.application_done(),
          "a reset reaches the application");
  require(session.application_done() || recovered.connection ||
              (pipe.writer().ring().end() == 0 && pipe.reader().ring().begin() == 0),
          "only an application that has yet to move anything can be connected again");
}

void go_on(Session& session, const Memory& memory, const std::optional<TcpMoved>& moved,
           std::uint64_t highest_generation, FuzzInput& input) {
  SessionLife life(session, moved);
  session.start(TimePoint{});
  while (!input.empty() && !session.over()) {
    life.step(input);
    check(session, memory);
    if (!session.over()) check_ledger(session, memory, life.moved());
    // Nobody has so many links that they run out.
    require(session.pipe().state() != PipeState::reconnecting ||
                session.pipe().generation() > highest_generation ||
                highest_generation > UINT64_MAX / 2,
            "no generation is used again");
  }
}

void run(FuzzInput input) {
  constexpr std::array<std::size_t, 3> kSegmentSizes{kSegmentBytes, 16, 256};
  const std::uint8_t kind = input.byte();
  Memory old;
  auto moved = (kind & 1) != 0 ? leave_a_life(old, input) : leave_anything(old, input);
  if ((kind & 2) != 0) overwrite_some(old, moved, input);
  const bool is_as_it_was = (kind & 3) == 1;

  for (const LedgerRecord& record : old.records) {
    if (record.state != LedgerRecord::State::session) continue;
    const auto found = recover(old.view(), record, moved);
    const auto* recovered = std::get_if<Recovered>(&found);
    require(recovered != nullptr || !is_as_it_was, "what was not damaged is found");
    if (recovered == nullptr) continue;
    const Role role = recovered->session.role;
    const auto left = recovered->connection ? moved : std::nullopt;

    Memory next(kSegmentSizes[(kind >> 2) % kSegmentSizes.size()]);
    Memory after_next;
    {
      Session session = next.new_session(record.id, role);
      const bool restored = restore(session, *recovered);
      require(restored || !is_as_it_was, "what was not damaged is restored");
      if (!restored) continue;
      run_actions(session);
      check(session, next);
      check_restored(session, record, *recovered);
      if (session.over()) continue;
      const Recovered again = check_ledger(session, next, left);
      {
        Session third = after_next.new_session(record.id, role);
        require(restore(third, again), "what was restored is restored again");
        run_actions(third);
        require(third.snapshot() == session.snapshot(), "and is the same");
      }
      go_on(session, next, left, record.highest_generation, input);
    }
    require(next.outbound.segments_in_use() == 0 && next.inbound.segments_in_use() == 0,
            "all memory is given back");
  }
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
