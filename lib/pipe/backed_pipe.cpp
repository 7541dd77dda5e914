#include "pipe/backed_pipe.hpp"

#include <algorithm>
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// An acknowledgement that no data carries waits this long for some.
constexpr Duration kAcknowledgeAfter = milliseconds(20);
// How often the round trip is measured while data flows, either way: queues fill up and drain.
constexpr Duration kMeasureEvery = seconds(1);
// A measurement from here on, and of twice what is usual, may have gone across an outage: it is not
// left alone for long.
constexpr Duration kUnusual = milliseconds(100);
// A link's way may become longer, with nobody telling: its least round trip is forgotten after one
// to two times this. The kernel's TCP keeps its own for as long (tcp_min_rtt_wlen).
constexpr Duration kLeastHoldsFor = seconds(300);

boost::system::error_code closed_error() {
  return make_error_code(boost::system::errc::broken_pipe);
}

}  // namespace

std::string_view name(PipeState state) {
  switch (state) {
    case PipeState::disconnected:
      return "disconnected";
    case PipeState::reconnecting:
      return "reconnecting";
    case PipeState::connected:
      return "connected";
    case PipeState::closed:
      return "closed";
  }
  return "unknown";
}

std::string_view name(LinkError::Component component) {
  return component == LinkError::Component::reader ? "reader" : "writer";
}

BackedPipe::BackedPipe(SegmentPool& pool, const PipeOptions& options)
    : writer_(pool, options.replay_buffer_bytes),
      reader_(pool, options.initial_window_bytes, options.max_window_bytes) {}

std::optional<RoundTrip> BackedPipe::way() const {
  if (!round_trip_) return std::nullopt;
  return RoundTrip{.usual = *round_trip_, .least = std::min(least_, least_before_)};
}

std::optional<Duration> BackedPipe::least_round_trip() const {
  if (!round_trip_) return std::nullopt;
  return *std::min_element(samples_.begin(), samples_.end());
}

// --- the application's side

std::size_t BackedPipe::prepare(std::size_t max_bytes, std::span<MutableBytes> out) {
  if (state_ == PipeState::closed || resetting()) return 0;
  return writer_.prepare(max_bytes, out);
}

std::size_t BackedPipe::write(ConstBytes bytes) {
  if (state_ == PipeState::closed || resetting()) return 0;
  return writer_.write(bytes);
}

void BackedPipe::delivered(std::size_t count, TimePoint now) {
  reader_.delivered(count, now, way());
  acknowledge(reader_.window().update_due(), now);
}

void BackedPipe::end_delivered(TimePoint now) {
  reader_.end_delivered();
  // Where our direction goes on, an answer to it may carry the acknowledgement.
  acknowledge(writer_.finished(), now);
}

void BackedPipe::acknowledge(bool at_once, TimePoint now) {
  if (at_once) {
    acknowledge_now_ = true;
  } else if (!acknowledge_at_) {
    acknowledge_at_ = now + kAcknowledgeAfter;
  }
}

// --- links

Result<std::uint64_t> BackedPipe::connect() {
  if (state_ == PipeState::closed) return closed_error();
  if (state_ != PipeState::disconnected) {
    return make_error_code(boost::system::errc::already_connected);
  }
  state_ = PipeState::reconnecting;
  return generation_ = ++highest_generation_;
}

Result<std::uint64_t> BackedPipe::reconnect() {
  if (state_ == PipeState::reconnecting) return generation_;
  if (candidate_) {
    promote_candidate();
    return generation_;
  }
  if (state_ == PipeState::connected) {
    let_go_of_link();
    state_ = PipeState::disconnected;
  }
  return connect();
}

Result<std::uint64_t> BackedPipe::connect_beside() {
  if (state_ != PipeState::connected) {
    return make_error_code(boost::system::errc::not_connected);
  }
  if (candidate_) return make_error_code(boost::system::errc::already_connected);
  candidate_ = ++highest_generation_;
  return *candidate_;
}

void BackedPipe::promote_candidate() {
  invariant(candidate_.has_value());
  let_go_of_link();
  state_ = PipeState::reconnecting;
  generation_ = *candidate_;
  candidate_.reset();
}

bool BackedPipe::attempt_failed(std::uint64_t generation) {
  if (candidate_ == generation) {
    candidate_.reset();
    return true;
  }
  if (state_ != PipeState::reconnecting || generation != generation_) return false;
  state_ = PipeState::disconnected;
  return true;
}

Position BackedPipe::position() {
  // Whoever asks beside a live link: that link must hear of the window as well.
  if (state_ == PipeState::connected) window_due_ = true;
  return {.delivered = reader_.delivered_sequence(),
          .received = reader_.received_sequence(),
          .window_limit = reader_.window().state_limit()};
}

Result<void> BackedPipe::attach(std::uint64_t generation, const Position& peer, TimePoint now,
                                std::optional<Duration> handshake) {
  if (state_ == PipeState::closed) return closed_error();
  if (generation < generation_ || generation <= attached_generation_) {
    return Reason::stale_generation;
  }
  // Nothing changes before the new link has proved that it fits.
  if (const auto fits = writer_.check(peer); !fits) return fits;
  if (state_ == PipeState::connected) let_go_of_link();
  const auto attached = writer_.attach(peer);
  invariant(attached.has_value());
  replayed_bytes_ += writer_.highest_sent() - std::min(writer_.sent(), writer_.highest_sent());
  generation_ = attached_generation_ = generation;
  highest_generation_ = std::max(highest_generation_, generation);
  candidate_.reset();
  state_ = PipeState::connected;
  last_received_at_ = now;
  // Since the handshake stated our position, more may have been delivered, and the old link may
  // have been told of a wider window.
  window_due_ = true;
  told_all_ = tells_all(false);
  // An answer that took longer may have waited for a process rather than for the path.
  if (handshake && *handshake < kUnusual) {
    measured(*handshake, now);
  } else {
    ping(now);
  }
  return {};
}

bool BackedPipe::detach(const LinkError& error) {
  if (state_ != PipeState::connected || error.generation != generation_) return false;
  last_error_ = error;
  if (candidate_) {
    promote_candidate();
  } else {
    let_go_of_link();
    state_ = PipeState::disconnected;
  }
  return true;
}

void BackedPipe::let_go_of_link() {
  writer_.detach();
  outbox_.clear();
  decoder_ = {};
  acknowledge_at_.reset();
  acknowledge_now_ = false;
  window_due_ = false;
  ping_wanted_ = false;
  ping_asked_at_.reset();
  ping_sent_at_.reset();
  measured_at_.reset();
  pong_due_.reset();
  received_data_last_ = false;
  unanswered_since_.reset();
  reset_sent_ = false;
  told_all_ = told_more_ = false;
  if (resetting()) writer_.discard();
}

std::size_t BackedPipe::prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                                        std::span<MutableBytes> out) {
  if (state_ != PipeState::connected || generation != generation_ || resetting()) return 0;
  return reader_.prepare(decoder_.frame().value, std::min(decoder_.payload_left(), max_bytes), out);
}

Result<std::size_t> BackedPipe::receive(std::uint64_t generation, ConstBytes bytes, TimePoint now,
                                        std::size_t placed) {
  const std::size_t given = bytes.size();
  if (state_ != PipeState::connected || generation != generation_) return given;
  if (given + placed == 0) {
    reader_.commit(0);
    return given;
  }
  last_received_at_ = now;
  received_data_last_ = false;
  unanswered_since_.reset();
  // What the link has not taken yet is still on its way out.
  if (outbox_.holds_data()) unanswered_since_ = now;
  if (placed > 0) {
    const auto taken = on_frame(decoder_.skip(placed), placed, now);
    if (!taken) return taken.error();
  }
  while (!reset_received_) {
    const auto event = decoder_.next(bytes);
    if (!event) return event.error();
    if (!*event) break;
    const auto taken = on_frame(**event, 0, now);
    if (!taken) return taken.error();
    if (const std::size_t left = (*event)->payload.size() - *taken; left > 0) {
      decoder_.put_back(left);
      return given - bytes.size() - left;
    }
  }
  if (!bytes.empty()) behind_reset_ = true;
  return given;
}

// Returns how much of the event's payload was taken; `placed` bytes of it are where they belong.
Result<std::size_t> BackedPipe::on_frame(const FrameDecoder::Event& event, std::size_t placed,
                                         TimePoint now) {
  const Frame& frame = event.frame;
  const std::uint64_t acknowledged = writer_.acknowledged();
  if (const auto known = writer_.acknowledge(frame.acknowledgement); !known) {
    return violation(Reason::future_sequence);
  }
  if (writer_.acknowledged() > acknowledged) measure(now);
  switch (frame.type) {
    case FrameType::data: {
      // Nobody will read it any more, but framing and acknowledgements go on until the RESET is
      // out.
      if (resetting()) break;
      received_data_last_ = true;
      measure(now);
      if (placed > 0) {
        reader_.commit(placed);
        break;
      }
      const auto taken = reader_.receive(frame.value, event.payload);
      if (!taken) return violation(*reason_of(taken.error()));
      return taken;
    }
    case FrameType::fin:
      if (resetting()) break;
      if (!reader_.receive_fin(frame.value)) return violation(Reason::protocol_error);
      break;
    case FrameType::window:
      writer_.raise_limit(frame.value);
      break;
    // The newest only: a flood of pings earns one pong each time the link has room for it.
    case FrameType::ping:
      pong_due_ = frame.value;
      break;
    case FrameType::pong:
      on_pong(frame.value, now);
      break;
    case FrameType::reset:
      reset_received_ = frame.reason();
      break;
    case FrameType::ack:
      break;
  }
  return event.payload.size();
}

Result<std::size_t> BackedPipe::violation(Reason reason) {
  violates_session_ = true;
  return reason;
}

void BackedPipe::on_pong(std::uint64_t token, TimePoint now) {
  if (!ping_sent_at_ || token != ping_token_) return;
  measured(now - *ping_sent_at_, now);
  ping_asked_at_.reset();
  ping_sent_at_.reset();
}

void BackedPipe::measured(Duration sample, TimePoint now) {
  measure_again_ = measured_at_ && sample > std::max(kUnusual, 2 * *least_round_trip());
  if (measured_at_) {
    // Smoothed as in RFC 6298: an eighth of each new sample.
    *round_trip_ += (sample - *round_trip_) / 8;
    std::rotate(samples_.begin(), samples_.begin() + 1, samples_.end());
    samples_.back() = sample;
  } else {
    // Another link may be another path.
    round_trip_ = sample;
    samples_.fill(sample);
    least_ = least_before_ = sample;
    least_since_ = now;
  }
  if (now - least_since_ >= kLeastHoldsFor) {
    least_before_ = std::exchange(least_, sample);
    least_since_ = now;
  }
  least_ = std::min(least_, sample);
  measured_at_ = now;
}

void BackedPipe::measure(TimePoint now) {
  if (measure_again_ || !measured_at_ || now - *measured_at_ >= kMeasureEvery) ping(now);
}

void BackedPipe::ping(TimePoint now) {
  if (ping_asked_at_ || state_ != PipeState::connected) return;
  ping_asked_at_ = now;
  ping_wanted_ = true;
}

std::size_t BackedPipe::outgoing(TimePoint now, std::span<ConstBytes> out) {
  if (state_ != PipeState::connected) return 0;
  if (outbox_.empty()) fill_outbox(now);
  return outbox_.pieces(writer_.ring(), out);
}

// Of a frame that is sent now: it acknowledges the peer's end, and our own end is or was with it.
bool BackedPipe::tells_all(bool with_fin) const {
  return reader_.done() && writer_.finished() &&
         (with_fin || writer_.next_offset() == writer_.end());
}

void BackedPipe::fill_outbox(TimePoint now) {
  if (reset_sent_) return;
  const std::uint64_t acknowledgement = reader_.delivered_sequence();
  const auto add = [&](FrameType type, std::uint64_t value, std::size_t payload_bytes = 0) {
    outbox_.add({type, acknowledgement, value}, payload_bytes);
    told_more_ = told_all_;
    told_all_ = tells_all(type == FrameType::fin);
  };

  if (pong_due_) {
    add(FrameType::pong, *pong_due_);
    pong_due_.reset();
  }
  if (ping_wanted_) {
    add(FrameType::ping, ++ping_token_);
    ping_wanted_ = false;
    ping_sent_at_ = now;
  }
  if (window_due_ || reader_.window().update_due()) {
    add(FrameType::window, reader_.window().state_limit());
    window_due_ = false;
  }

  std::size_t budget = outbox_.budget_bytes();
  while (budget > 0) {
    const std::size_t payload = std::min({writer_.sendable(), budget, kMaxPayloadBytes});
    if (payload == 0) break;
    add(FrameType::data, writer_.next_offset(), payload);
    writer_.schedule(payload);
    budget -= payload;
    if (!unanswered_since_) unanswered_since_ = now;
  }
  if (!resetting() && writer_.fin_sendable()) {
    add(FrameType::fin, writer_.next_offset());
    writer_.schedule(1);
  }
  // A reset overtakes what the window holds back, but not what can still go before it.
  if (resetting() && writer_.sendable() == 0) {
    add(FrameType::reset, static_cast<std::uint64_t>(*reset_reason_));
  }
  if (outbox_.empty() && acknowledge_now_ && acknowledgement != stated_acknowledgement_) {
    add(FrameType::ack, 0);
  }
  if (!outbox_.empty()) {
    stated_acknowledgement_ = acknowledgement;
    acknowledge_at_.reset();
    acknowledge_now_ = false;
  }
}

void BackedPipe::sent(std::uint64_t generation, std::size_t count) {
  if (state_ != PipeState::connected || generation != generation_) return;
  const Outbox::Progress progress = outbox_.taken(count);
  if (progress.sequence > writer_.sent()) writer_.mark_sent(progress.sequence);
  if (progress.reset) reset_sent_ = true;
}

void BackedPipe::tick(TimePoint now) {
  if (acknowledge_at_ && now >= *acknowledge_at_) {
    acknowledge_at_.reset();
    acknowledge_now_ = true;
  }
}

// --- the end

void BackedPipe::reset(Reason reason) {
  if (state_ == PipeState::closed || resetting()) return;
  reset_reason_ = reason;
  // What came before the peer's own RESET may still be delivered as far as the application takes
  // it.
  if (!reset_received_) reader_.discard();
  if (state_ != PipeState::connected) writer_.discard();
}

bool BackedPipe::link_at_rest() const {
  if (state_ != PipeState::connected || !outbox_.empty() || !decoder_.at_boundary()) return false;
  if (reset_received_) return told_all_ && !told_more_ && !behind_reset_;
  return reset_sent_;
}

void BackedPipe::close() {
  if (state_ == PipeState::closed) return;
  let_go_of_link();
  candidate_.reset();
  writer_.discard();
  reader_.discard();
  state_ = PipeState::closed;
}

}  // namespace backedpipe
