#include "session/recover.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

using ServerKnows = DiallingSide::ServerKnows;

constexpr std::uint32_t kAllFlags = 2 * LedgerRecord::kWriting - 1;
// More than any daemon states or believes, and no sum with it wraps.
constexpr std::uint64_t kMostGrace = std::chrono::nanoseconds(std::chrono::hours(24 * 366)).count();
constexpr std::uint32_t kUnderWay = LedgerRecord::kReading | LedgerRecord::kWriting;

bool has(const LedgerRecord& record, std::uint32_t flag) {
  return (record.flags & flag) != 0;
}

ServerKnows server_knows(const LedgerRecord& record) {
  if (has(record, LedgerRecord::kWelcomed)) return ServerKnows::yes;
  return has(record, LedgerRecord::kSaidHello) ? ServerKnows::perhaps : ServerKnows::no;
}

bool is_damaged(const LedgerRecord& record) {
  return record.checksum != checksum_of(record) || record.role > 1 ||
         (record.flags & 0xffff & ~kAllFlags) != 0 || record.grace > kMostGrace ||
         (has(record, LedgerRecord::kConnected) &&
          record.socket_checksum != socket_checksum_of(record));
}

// Both streams have ended, and both sides have everything. Its connection may be gone.
bool is_done(const LedgerRecord& record) {
  return has(record, LedgerRecord::kFinAcknowledged) && has(record, LedgerRecord::kEndDelivered);
}

// Something has passed between the session and its application.
bool has_moved(const LedgerRecord& record) {
  return record.written_offset != 0 || record.delivered_offset != 0 ||
         has(record, LedgerRecord::kFinished | LedgerRecord::kEndDelivered);
}

// Its application's connection is not there any more, or nobody knows how much has passed on it.
bool is_lost(const LedgerRecord& record, const std::optional<TcpMoved>& moved) {
  if (is_done(record)) return false;
  // A client's session begins with the connection. It ended before that was recorded. A server
  // reaches its target later, and moves nothing before that.
  if (!has(record, LedgerRecord::kConnected)) return record.role == 0 || has_moved(record);
  if (!moved) return true;
  return has(record, LedgerRecord::kUncounted) && has(record, kUnderWay);
}

// How far each stream has come.
struct Offsets {
  std::uint64_t written = 0;
  std::uint64_t delivered = 0;
  bool end_delivered = false;
};

// The outbound bytes [begin, end), from the list of segments; nothing if the list does not hold
// them. It may hold more: segments whose bytes were forgotten, and ones that no byte was read into.
std::optional<std::vector<ConstBytes>> find_bytes(const LedgerView& view,
                                                  const LedgerRecord& record, std::uint64_t begin,
                                                  std::uint64_t end) {
  std::vector<ConstBytes> pieces;
  const std::size_t size = view.segment_bytes;
  const std::size_t segments = std::min(view.links.size(), view.arena.size() / size);
  std::uint32_t link = record.first_segment;
  std::optional<std::uint64_t> number;
  while (begin < end) {
    if (link == 0 || link > segments) return std::nullopt;
    const SegmentLink& segment = view.links[link - 1];
    // A list whose numbers grow by one is no circle.
    if (number && segment.number != *number + 1) return std::nullopt;
    number = segment.number;
    if (segment.number == begin / size) {
      const auto within = static_cast<std::size_t>(begin % size);
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(size - within, end - begin));
      pieces.push_back(view.arena.subspan((link - 1) * size + within, count));
      begin += count;
    }
    link = segment.next;
  }
  return pieces;
}

}  // namespace

std::variant<Recovered, Unrecoverable> recover(const LedgerView& view, const LedgerRecord& record,
                                               const std::optional<TcpMoved>& moved) {
  if (is_damaged(record)) return Unrecoverable{"its record is damaged"};
  const bool connected = has(record, LedgerRecord::kConnected);
  const bool counted = !has(record, LedgerRecord::kUncounted);
  const bool done = is_done(record);

  Offsets offsets{.written = record.written_offset,
                  .delivered = record.delivered_offset,
                  .end_delivered = has(record, LedgerRecord::kEndDelivered)};
  std::optional<Reason> reset;
  bool application_reset = has(record, LedgerRecord::kApplicationReset);
  if (const Reason recorded = record.reset_reason(); recorded != Reason::none) {
    reset = recorded;
    // Both are one store, but for an application that needs nothing any more.
    application_reset = application_reset || !done;
  } else if (application_reset || is_lost(record, moved)) {
    reset = Reason::application_reset;
    application_reset = true;
  }
  if (!reset && !done && connected && counted) {
    if (moved->taken < record.written_offset || moved->given < record.delivered_offset) {
      return Unrecoverable{"more was recorded than the system has counted"};
    }
    // What ends a stream is recorded after all of it.
    if ((has(record, LedgerRecord::kFinished) && moved->taken > record.written_offset) ||
        (offsets.end_delivered && moved->given > record.delivered_offset)) {
      return Unrecoverable{"more was counted than can have passed"};
    }
    offsets = {.written = moved->taken,
               .delivered = moved->given,
               .end_delivered = offsets.end_delivered || moved->end_given};
  }

  Recovered recovered;
  recovered.labels = record.labels;
  recovered.created_at = record.created_at;
  recovered.restores = record.restores;
  if (record.detached_since != 0) recovered.detached_since = record.detached_since;
  if (record.grace != 0) recovered.grace = Duration(static_cast<std::int64_t>(record.grace));
  SessionRecord& session = recovered.session;
  session.id = record.id;
  session.role = static_cast<Role>(record.role);
  session.server_knows = server_knows(record);
  session.confirmed = session.role == Role::client || has(record, LedgerRecord::kConfirmed);
  session.links = record.links;
  session.application_reset = application_reset;
  PipeRecord& pipe = session.pipe;
  pipe.highest_generation = pipe.attached_generation = record.highest_generation;
  pipe.reset_reason = reset;
  pipe.writer = {.begin_offset = reset ? offsets.written : record.acknowledged_offset,
                 .end_offset = offsets.written,
                 .highest_sent = record.highest_sent,
                 .finished = has(record, LedgerRecord::kFinished),
                 .fin_acknowledged = has(record, LedgerRecord::kFinAcknowledged),
                 .discarded = reset.has_value()};
  pipe.reader = {.begin_offset = offsets.delivered,
                 .end_offset = offsets.delivered,
                 .window_limit = record.window_limit,
                 .fin_received = offsets.end_delivered,
                 .end_delivered = offsets.end_delivered};
  if (pipe.writer.begin_offset > pipe.writer.end_offset) {
    return Unrecoverable{"more was acknowledged than written"};
  }
  auto bytes = find_bytes(view, record, pipe.writer.begin_offset, pipe.writer.end_offset);
  if (!bytes) return Unrecoverable{"bytes that it had to send are not there"};
  recovered.held.outbound = std::move(*bytes);
  if (connected) {
    recovered.connection = {.socket = record.socket,
                            .taken_baseline = record.taken_baseline,
                            .given_baseline = record.given_baseline,
                            .uncounted = !counted};
  }
  return recovered;
}

}  // namespace backedpipe
