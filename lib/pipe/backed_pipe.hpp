// BackedPipe: one session's stream in both directions, over a succession of links. Bytes and events
// go in, bytes come out; it opens no socket, asks no clock and makes no decision about when to try
// again. Owned by a Session, on its worker's thread.
//
//                     connect()                    attach()
//   disconnected ───────────────▶ reconnecting ───────────────▶ connected
//     ▲  ▲   │                       │    ▲                       │ ▲  │
//     │  │   │     attempt_failed()  │    │      reconnect()      │ └──┘ attach() by a higher
//     │  │   └────────◀──────────────┘    └───────────────────────┤      generation: a takeover
//     │  └──────────────────────────── detach() ──────────────────┘
//     └ (an accepting side goes from disconnected to connected directly)      any ── close() ──▶
//     closed
//
// Beside a live link there may be a candidate: an attempt that changes nothing until it is
// promoted, which lets go of the live link, or fails. If the live link goes first, the candidate is
// simply the attempt that is under way.
//
// Links are told apart by their generation. A call that carries another generation than the current
// one does nothing: a late completion of a dead link can do no harm.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipe/backed_reader.hpp"
#include "pipe/backed_writer.hpp"
#include "pipe/outbox.hpp"
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

// Which half noticed that a link is gone, and how.
struct LinkError {
  enum class Component : std::uint8_t { reader, writer };
  Component component = Component::reader;
  std::uint64_t generation = 0;
  boost::system::error_code error;  // none: the stream has ended
};

std::string_view name(LinkError::Component component);

class BackedPipe {
 public:
  BackedPipe(SegmentPool& pool, const PipeOptions& options);

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
  // Never once it is being reset: a stream cut short must not look as if it had ended.
  bool end_due() const { return reader_.end_due() && state_ != PipeState::closed && !resetting(); }
  void end_delivered(TimePoint now);

  // --- links

  // Begins the attempt to get a link, and returns its generation. Errors: already_connected (also
  // while an attempt is under way), broken_pipe once closed.
  Result<std::uint64_t> connect();
  // The same, also on a healthy link, which is let go; while an attempt is under way, returns that
  // one.
  Result<std::uint64_t> reconnect();
  // Begins an attempt beside the live link, and returns its generation. Errors: already_connected
  // while there is one, not_connected without a live link.
  Result<std::uint64_t> connect_beside();
  // The attempt beside the live link.
  std::optional<std::uint64_t> candidate() const { return candidate_; }
  // The candidate's path has proved itself: lets go of the live link for it. Precondition: there is
  // a candidate.
  void promote_candidate();
  // The attempt came to nothing; false if it is neither the current one nor the candidate.
  bool attempt_failed(std::uint64_t generation);

  // What to tell the peer about what is here. Taken anew for each handshake. A client says HELLO
  // with it only after letting go of its link: an acknowledgement that overtook it would make it a
  // lie.
  Position position();
  // The link of this generation has completed its handshake. Replaces an older link. Errors, which
  // change nothing: stale_generation; future_sequence and replay_unavailable (the peer's offsets do
  // not fit, see BackedWriter::attach); broken_pipe once closed. `handshake`: how long the peer
  // took to answer, which is a first measurement of the round trip; without it a PING makes one.
  Result<void> attach(std::uint64_t generation, const Position& peer, TimePoint now,
                      std::optional<Duration> handshake = {});
  // The link is gone. True for the first error of the current link only.
  bool detach(const LinkError& error);
  // The error that ended the latest link to end.
  const std::optional<LinkError>& last_error() const { return last_error_; }

  // Bytes from the link. Returns how many were taken: fewer than given only when memory is
  // exhausted, or when a RESET among them made the rest meaningless (then all count as taken).
  // Errors: protocol_error, future_sequence, window_exceeded; see violates_session. Before `bytes`,
  // the link has put `placed` ones into what prepare_receive() gave it.
  Result<std::size_t> receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                              std::size_t placed = 0);
  // In the middle of a DATA frame: where its next bytes can be put without a copy, at most
  // `max_bytes`, as up to `out.size()` pieces; returns how many. What follows is receive(), also
  // when nothing has come.
  std::size_t prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                              std::span<MutableBytes> out);
  // Bytes for the link, as up to `out.size()` pieces; returns how many. What was offered stays the
  // same until it is taken.
  std::size_t outgoing(TimePoint now, std::span<ConstBytes> out);
  // The link has taken the first `count` bytes of that.
  void sent(std::uint64_t generation, std::size_t count);

  // The error in receive() was about the session's offsets, so that no other link can mend it.
  // Otherwise it was about framing, and the link alone is to blame.
  bool violates_session() const { return violates_session_; }

  // --- time

  // When tick() is due: an acknowledgement has waited long enough.
  std::optional<TimePoint> deadline() const { return acknowledge_at_; }
  void tick(TimePoint now);

  // Asks for a PONG, unless one is already owed.
  void ping(TimePoint now);
  std::optional<TimePoint> last_received_at() const { return last_received_at_; }
  // A sign of life that is not among the bytes: the other side's TCP acknowledged some of ours
  // then.
  void tcp_answered(TimePoint at) { tcp_answered_at_ = at; }
  // The clock's beginning if never. Of an older link it says less than last_received_at().
  TimePoint tcp_answered_at() const { return tcp_answered_at_; }
  // The last that came was, or had in it, data: more may be on its way.
  bool received_data_last() const { return received_data_last_; }
  // Since when a PONG is owed; also while the link has not even taken the PING.
  std::optional<TimePoint> ping_asked_at() const { return ping_asked_at_; }
  // Since when data is out, or waits for a link that does not take it, with nothing having been
  // received after it.
  std::optional<TimePoint> unanswered_since() const { return unanswered_since_; }
  std::optional<Duration> round_trip() const { return round_trip_; }
  // What the window goes by.
  std::optional<RoundTrip> way() const;
  // Of the latest three measurements: one of them may have gone across an outage.
  std::optional<Duration> least_round_trip() const;

  // --- the end

  // Ends the session at once with a reason. What is held is still sent as far as the window and the
  // current link allow, then RESET. Nothing more is read or delivered.
  void reset(Reason reason);
  bool resetting() const { return reset_reason_.has_value(); }
  std::optional<Reason> reset_reason() const { return reset_reason_; }
  // The RESET has been taken by the current link.
  bool reset_sent() const { return reset_sent_; }
  // The peer has ended the session.
  std::optional<Reason> reset_received() const { return reset_received_; }
  // Both directions have ended, and everything is acknowledged.
  bool done() const { return writer_.done() && reader_.done(); }
  // The session has come to its clean end on this link, which has nothing under way any more in
  // either direction: the next thing on it may be another session. After the peer's RESET that is
  // known only if the frame that let the peer end the session was our last one.
  bool link_at_rest() const;
  // Frees everything; the pipe takes part in nothing any more.
  void close();

  // --- the state as bytes

  // Everything but the link: what restore() of a new pipe takes to go on as if the link had
  // dropped.
  std::vector<std::byte> snapshot() const;
  // Precondition: newly made. Errors, after which the pipe is unusable: protocol_error for bytes
  // that are not a snapshot, no_buffer_space when the pool cannot hold the data.
  Result<void> restore(ConstBytes snapshot);

  const BackedWriter& writer() const { return writer_; }
  const BackedReader& reader() const { return reader_; }
  std::uint64_t replayed_bytes() const { return replayed_bytes_; }

 private:
  friend class PipeSnapshot;

  void let_go_of_link();
  void fill_outbox(TimePoint now);
  bool tells_all(bool with_fin) const;
  Result<std::size_t> on_frame(const FrameDecoder::Event& event, std::size_t placed, TimePoint now);
  Result<std::size_t> violation(Reason reason);
  void acknowledge(bool at_once, TimePoint now);
  void on_pong(std::uint64_t token, TimePoint now);
  void measured(Duration sample, TimePoint now);
  void measure(TimePoint now);

  BackedWriter writer_;
  BackedReader reader_;
  Outbox outbox_;
  FrameDecoder decoder_;

  PipeState state_ = PipeState::disconnected;
  std::uint64_t generation_ = 0;
  std::uint64_t highest_generation_ = 0;  // of any attempt or link
  std::uint64_t attached_generation_ = 0;
  std::optional<std::uint64_t> candidate_;
  std::optional<LinkError> last_error_;

  std::uint64_t stated_acknowledgement_ = 0;
  std::optional<TimePoint> acknowledge_at_;
  bool acknowledge_now_ = false;
  bool window_due_ = false;  // also when it has not moved by a quarter

  std::uint64_t ping_token_ = 0;
  bool ping_wanted_ = false;
  std::optional<TimePoint> ping_asked_at_;
  std::optional<TimePoint> ping_sent_at_;
  std::optional<TimePoint> measured_at_;
  bool measure_again_ = false;  // as soon as more data flows
  std::optional<std::uint64_t> pong_due_;
  std::optional<Duration> round_trip_;
  std::array<Duration, 3> samples_{};  // the latest; meaningful with round_trip_
  // The least since then, and of as long a time before; meaningful with round_trip_.
  TimePoint least_since_{};
  Duration least_{};
  Duration least_before_{};
  std::optional<TimePoint> last_received_at_;
  TimePoint tcp_answered_at_{};
  bool received_data_last_ = false;
  std::optional<TimePoint> unanswered_since_;

  std::optional<Reason> reset_reason_;
  std::optional<Reason> reset_received_;
  bool reset_sent_ = false;
  bool behind_reset_ = false;  // something has come behind the peer's
  bool told_all_ = false;      // over this link the peer was told that both directions have ended
  bool told_more_ = false;     // and there was another frame after that
  bool violates_session_ = false;
  std::uint64_t replayed_bytes_ = 0;
};

}  // namespace backedpipe
