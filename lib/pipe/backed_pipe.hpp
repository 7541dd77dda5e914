// BackedPipe: one session's stream in both directions, over a succession of links. Bytes and events
// go in, bytes come out; it opens no socket, asks no clock and makes no decision about when to try
// again. Owned by a Session, on its worker's thread.
//
//                    connect()                   attach()
//   disconnected ────────────────▶ reconnecting ───────────▶ connected ──┐ attach() by a higher
//        ▲  ▲                        │      ▲                 │  │   ▲   │ generation: a takeover
//        │  └── attempt_failed() ────┘      └── reconnect() ──┘  │   └───┘
//        └─────────────────────── detach() ──────────────────────┘
//
//   disconnected ── attach() ──▶ connected     on the accepting side
//   any state    ── close() ───▶ closed
//
// Beside a live link there may be a candidate, an attempt that changes nothing until it fails or is
// promoted. Promoting it drops the live link. If the live link is lost first, the candidate becomes
// the current attempt.
//
// Links are told apart by their generation. A call that carries another generation than the current
// one does nothing: a late completion of a dead link can do no harm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipe/backed_reader.hpp"
#include "pipe/backed_writer.hpp"
#include "pipe/link_state.hpp"
#include "pipe/pipe_record.hpp"
#include "pipe/round_trips.hpp"
#include "pipe/time.hpp"
#include "proto/frame.hpp"

namespace backedpipe {

enum class PipeState : std::uint8_t { disconnected, reconnecting, connected, closed };

std::string_view name(PipeState state);

struct PipeOptions {
  std::size_t replay_buffer_bytes = std::size_t{64} << 20;
  std::size_t initial_window_bytes = std::size_t{256} << 10;
  std::size_t max_window_bytes = std::size_t{16} << 20;
};

// Which half noticed that a link is gone, and the error it met.
struct LinkError {
  enum class Component : std::uint8_t { reader, writer };
  Component component = Component::reader;
  std::uint64_t generation = 0;
  boost::system::error_code error;  // none: the stream has ended
};

std::string_view name(LinkError::Component component);

// Where the bytes of a pipe lie. Both may be the same pool.
struct PipePools {
  PipePools(SegmentPool& both) : PipePools(both, both) {}  // NOLINT(google-explicit-constructor)
  PipePools(SegmentPool& of_inbound, SegmentPool& of_outbound)
      : inbound(of_inbound), outbound(of_outbound) {}

  SegmentPool& inbound;
  SegmentPool& outbound;
};

class BackedPipe {
 public:
  // What must outlive the process is recorded in `ledger`; its segments are those of the outbound
  // pool.
  BackedPipe(const PipePools& pools, const PipeOptions& options, LedgerEntry ledger = {});

  PipeState state() const { return state_; }
  // Of the current link or attempt; 0 before the first.
  std::uint64_t generation() const { return generation_; }

  // --- the application's side (see BackedWriter and BackedReader)

  std::size_t prepare(std::size_t max_bytes, std::span<MutableBytes> out);
  void commit(std::size_t count) { writer_.commit(count); }
  std::size_t write(ConstBytes bytes);
  void finish() { writer_.finish(); }

  std::size_t deliverable(std::span<ConstBytes> out) const { return reader_.deliverable(out); }
  void delivered(std::size_t count, TimePoint now);
  // Never while resetting: a stream cut short must not look as if it had ended.
  bool end_due() const { return reader_.end_due() && state_ != PipeState::closed && !resetting(); }
  void end_delivered(TimePoint now);

  // --- links

  // Begins an attempt to get a link, and returns its generation. Errors: already_connected (also
  // while an attempt is under way), broken_pipe once closed.
  Result<std::uint64_t> connect();
  // The same, but drops a live link first. While an attempt is under way, returns its generation.
  Result<std::uint64_t> reconnect();
  // Begins an attempt beside the live link, and returns its generation. Errors: already_connected
  // while there is one, not_connected without a live link.
  Result<std::uint64_t> connect_beside();
  // The attempt beside the live link.
  std::optional<std::uint64_t> candidate() const { return candidate_; }
  // The candidate's path works: drops the live link for it. Precondition: there is a candidate.
  void promote_candidate();
  // The attempt has failed; false if it is neither the current one nor the candidate.
  bool attempt_failed(std::uint64_t generation);

  // The position to state in a handshake, taken anew for each one, because taking it counts as
  // telling the peer our window. A client takes it for HELLO only after dropping its link: a later
  // acknowledgement that overtook the HELLO on that link would contradict it.
  Position take_position();
  // The link of this generation has completed its handshake. Replaces an older link. Errors, which
  // change nothing: stale_generation; future_sequence and replay_unavailable (the peer's offsets do
  // not fit, see BackedWriter::attach); broken_pipe once closed. `handshake` is how long the peer
  // took to answer, which is a first measurement of the round trip; without it a PING makes one.
  Result<void> attach(std::uint64_t generation, const Position& peer, TimePoint now,
                      std::optional<Duration> handshake = {});
  // The link is gone. True for the first error of the current link only.
  bool detach(const LinkError& error);
  // The error that ended the latest link to end.
  const std::optional<LinkError>& last_error() const { return last_error_; }

  // Bytes from the link: `placed` of them, which the link has put into the memory that
  // prepare_receive() gave it, followed by `bytes`. Returns how many of `bytes` were taken: fewer
  // than given only when memory is exhausted. Bytes after a RESET have no meaning and count as
  // taken. Errors: protocol_error, future_sequence, window_exceeded; see violates_session.
  Result<std::size_t> receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                              std::size_t placed = 0);
  // In the middle of a DATA frame: where its next bytes can be put without a copy, at most
  // `max_bytes`, as up to `out.size()` pieces; returns how many. The next call must be receive(),
  // even if nothing has been read.
  std::size_t prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                              std::span<MutableBytes> out);
  // Frames without news: see FrameBudget. Until when the link should not be read, if it should not.
  std::optional<TimePoint> receive_pause(TimePoint now) const {
    return link_.frame_budget.pause(now);
  }
  bool receives_much_without_news(TimePoint now) const { return link_.frame_budget.low(now); }
  // Bytes for the link, as up to `out.size()` pieces; returns how many. What was offered stays the
  // same until it is taken.
  std::size_t outgoing(TimePoint now, std::span<ConstBytes> out);
  // The link has taken the first `count` bytes of that.
  void sent(std::uint64_t generation, std::size_t count);

  // The error of receive() concerned the session's offsets, so another link cannot mend it.
  // Otherwise it concerned framing, and only the link is at fault.
  bool violates_session() const { return violates_session_; }

  // --- time

  // When tick() is due: an acknowledgement has waited long enough.
  std::optional<TimePoint> deadline() const { return link_.acknowledge_at; }
  void tick(TimePoint now);

  // Something that was sent on the current link has been answered: a PING with its PONG, or data
  // with an acknowledgement.
  bool answered() const { return link_.answered; }
  // A DATA frame has begun to arrive on the current link, and its rest is due.
  bool in_data_frame() const { return link_.decoder.payload_left() > 0; }
  // Asks for a PONG, unless one is already owed.
  void ping(TimePoint now);
  std::optional<TimePoint> last_received_at() const { return last_received_at_; }
  // A sign of life that is not a byte on the link: the peer's TCP acknowledged some of ours then.
  void tcp_answered(TimePoint at) { tcp_answered_at_ = at; }
  // The clock's epoch if never. Never later than last_received_at() if it was on an older link.
  TimePoint tcp_answered_at() const { return tcp_answered_at_; }
  // The latest bytes received had data among them: more may follow.
  bool received_data_last() const { return link_.received_data_last; }
  // Since when a PONG is owed, also if the link has not taken the PING yet.
  std::optional<TimePoint> ping_asked_at() const { return round_trips_.asked_at(); }
  // Since when the peer has been silent although data was sent, or waits for the link to take it.
  std::optional<TimePoint> unanswered_since() const { return link_.unanswered_since; }
  // See RoundTrips.
  std::optional<Duration> round_trip() const { return round_trips_.smoothed(); }
  std::optional<Duration> least_round_trip() const { return round_trips_.least_of_latest(); }
  Duration handshake() const { return round_trips_.handshake(); }
  std::optional<RoundTrip> way() const { return round_trips_.path(); }

  // --- parting

  // This process is about to end, and another may continue the session within `grace`, in whole
  // milliseconds. PARTING is the last frame on the current link; what else waits for the link to
  // take it goes first, but nothing new does.
  void part(Duration grace) { parting_ = grace; }
  // What the PARTING said that the current link has taken.
  std::optional<Duration> parting_sent() const {
    return link_.parting_sent ? parting_ : std::nullopt;
  }
  // The peer's daemon has ended, and may be back within this time. Nothing follows on this link.
  std::optional<Duration> parting_received() const { return link_.parting_received; }

  // --- the end

  // Ends the session at once with a reason. Held bytes are still sent as far as the window and the
  // current link allow, then RESET. Nothing more is read or delivered.
  void reset(Reason reason);
  bool resetting() const { return reset_reason_.has_value(); }
  std::optional<Reason> reset_reason() const { return reset_reason_; }
  // The RESET has been taken by the current link.
  bool reset_sent() const { return link_.reset_sent; }
  // The peer has ended the session.
  std::optional<Reason> reset_received() const { return reset_received_; }
  // Both directions have ended, and everything is acknowledged.
  bool done() const { return writer_.done() && reader_.done(); }
  // The session has ended cleanly on this link, and nothing is in flight on it in either direction:
  // it may carry another session. After the peer's RESET this is certain only if our last frame was
  // the one that let the peer end the session.
  bool link_at_rest() const;
  // Frees everything; from then on all calls fail or do nothing.
  void close();

  // --- the state without its link

  // Together with the bytes that writer().ring() and reader().ring() hold, all that a new pipe
  // needs to continue as if the link had been lost.
  PipeRecord record() const;
  // The bytes that the record says are held, in the memory of the rings.
  HeldPieces held() const;
  // Precondition: newly made. Both arguments are checked like any input from outside. Errors, after
  // which the pipe is unusable: protocol_error for a record that contradicts itself, this pipe's
  // options (contradiction_in() says how) or the bytes; no_buffer_space when the pool cannot hold
  // the bytes.
  Result<void> restore(const PipeRecord& record, const HeldBytes& held);
  // The same as one sequence of bytes; protocol_error also for bytes that are no snapshot.
  std::vector<std::byte> snapshot() const;
  Result<void> restore(ConstBytes snapshot);

  // What is recorded of the session. What only the session knows, it records here itself.
  LedgerEntry& ledger() { return writer_.ledger(); }
  const LedgerEntry& ledger() const { return writer_.ledger(); }

  const BackedWriter& writer() const { return writer_; }
  const BackedReader& reader() const { return reader_; }
  std::uint64_t replayed_bytes() const { return replayed_bytes_; }

 private:
  void drop_link();
  void fill_outbox(TimePoint now);
  bool tells_end(bool with_fin) const;
  Result<std::size_t> on_frame(const FrameDecoder::Event& event, std::size_t placed, TimePoint now);
  bool brings_news(const FrameDecoder::Event& event, std::size_t placed) const;
  Result<std::size_t> violation(Reason reason);
  void acknowledge(bool at_once, TimePoint now);
  std::uint64_t new_generation();
  std::uint64_t state_limit();

  BackedWriter writer_;
  BackedReader reader_;
  LinkState link_;
  RoundTrips round_trips_;

  std::uint64_t generation_ = 0;
  std::uint64_t highest_generation_ = 0;  // of any attempt or link
  std::uint64_t attached_generation_ = 0;
  std::optional<std::uint64_t> candidate_;
  std::optional<LinkError> last_error_;

  std::uint64_t stated_acknowledgement_ = 0;
  std::optional<TimePoint> last_received_at_;
  TimePoint tcp_answered_at_{};
  std::uint64_t replayed_bytes_ = 0;

  std::optional<Duration> parting_;
  std::optional<Reason> reset_reason_;
  std::optional<Reason> reset_received_;
  PipeState state_ = PipeState::disconnected;
  bool received_after_reset_ = false;
  bool violates_session_ = false;
};

}  // namespace backedpipe
