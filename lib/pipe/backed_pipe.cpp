#include "pipe/backed_pipe.hpp"

#include <algorithm>
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

// An acknowledgement waits this long for data that can carry it.
constexpr Duration kAcknowledgeAfter = std::chrono::milliseconds(20);

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

BackedPipe::BackedPipe(const PipePools& pools, const PipeOptions& options, LedgerEntry ledger)
    : writer_(pools.outbound, options.replay_buffer_bytes, std::move(ledger)),
      reader_(pools.inbound, options.initial_window_bytes, options.max_window_bytes) {
  // The peer will know this much at least.
  this->ledger().stating_limit(reader_.window().limit());
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
  reader_.delivered(count, now, round_trips_.path());
  ledger().delivered(reader_.ring().begin());
  acknowledge(reader_.window().update_due(), now);
}

void BackedPipe::end_delivered(TimePoint now) {
  reader_.end_delivered();
  ledger().end_delivered();
  // If our own stream has not ended, its data may carry the acknowledgement.
  acknowledge(writer_.finished(), now);
}

void BackedPipe::acknowledge(bool at_once, TimePoint now) {
  if (at_once) {
    link_.acknowledge_now = true;
  } else if (!link_.acknowledge_at) {
    link_.acknowledge_at = now + kAcknowledgeAfter;
  }
}

// --- links

std::uint64_t BackedPipe::new_generation() {
  ledger().generation(highest_generation_ + 1);
  return ++highest_generation_;
}

Result<std::uint64_t> BackedPipe::connect() {
  if (state_ == PipeState::closed) return closed_error();
  if (state_ != PipeState::disconnected) {
    return make_error_code(boost::system::errc::already_connected);
  }
  state_ = PipeState::reconnecting;
  return generation_ = new_generation();
}

Result<std::uint64_t> BackedPipe::reconnect() {
  if (state_ == PipeState::reconnecting) return generation_;
  if (candidate_) {
    promote_candidate();
    return generation_;
  }
  if (state_ == PipeState::connected) {
    drop_link();
    state_ = PipeState::disconnected;
  }
  return connect();
}

Result<std::uint64_t> BackedPipe::connect_beside() {
  if (state_ != PipeState::connected) {
    return make_error_code(boost::system::errc::not_connected);
  }
  if (candidate_) return make_error_code(boost::system::errc::already_connected);
  candidate_ = new_generation();
  return *candidate_;
}

void BackedPipe::promote_candidate() {
  invariant(candidate_.has_value());
  drop_link();
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

// The peer is about to be told of the window's current limit.
std::uint64_t BackedPipe::state_limit() {
  ledger().stating_limit(reader_.window().limit());
  return reader_.window().state_limit();
}

Position BackedPipe::take_position() {
  // A live link has not told the peer of this window and must still do so.
  if (state_ == PipeState::connected) link_.window_due = true;
  return {.delivered = reader_.delivered_sequence(),
          .received = reader_.received_sequence(),
          .window_limit = state_limit()};
}

Result<void> BackedPipe::attach(std::uint64_t generation, const Position& peer, TimePoint now,
                                std::optional<Duration> handshake) {
  if (state_ == PipeState::closed) return closed_error();
  if (generation < generation_ || generation <= attached_generation_) {
    return Reason::stale_generation;
  }
  // Nothing may change before it is certain that the new link fits.
  if (const auto fits = writer_.check(peer); !fits) return fits;
  if (state_ == PipeState::connected) drop_link();
  const auto attached = writer_.attach(peer);
  invariant(attached.has_value());
  replayed_bytes_ += writer_.highest_sent() - std::min(writer_.sent(), writer_.highest_sent());
  generation_ = attached_generation_ = generation;
  if (generation > highest_generation_) {
    ledger().generation(generation);
    highest_generation_ = generation;
  }
  candidate_.reset();
  state_ = PipeState::connected;
  last_received_at_ = now;
  // Since the handshake stated our position, more may have been delivered, and the peer may have
  // been told of a larger window over the old link.
  link_.window_due = true;
  if (tells_end(false)) link_.end_told = EndTold::by_last_frame;
  round_trips_.attached(handshake, now);
  return {};
}

bool BackedPipe::detach(const LinkError& error) {
  if (state_ != PipeState::connected || error.generation != generation_) return false;
  last_error_ = error;
  if (candidate_) {
    promote_candidate();
  } else {
    drop_link();
    state_ = PipeState::disconnected;
  }
  return true;
}

void BackedPipe::drop_link() {
  writer_.detach();
  link_ = link_.renewed();
  round_trips_.link_lost();
  if (resetting()) writer_.discard();
}

void BackedPipe::ping(TimePoint now) {
  if (state_ == PipeState::connected) round_trips_.ask(now);
}

std::size_t BackedPipe::outgoing(TimePoint now, std::span<ConstBytes> out) {
  if (state_ != PipeState::connected) return 0;
  if (link_.outbox.empty()) fill_outbox(now);
  return link_.outbox.pieces(writer_.ring(), out);
}

// A frame that is sent now acknowledges the peer's end, and is our own FIN or follows it. Once true
// it stays true on this link.
bool BackedPipe::tells_end(bool with_fin) const {
  return reader_.done() && writer_.finished() &&
         (with_fin || writer_.next_offset() == writer_.end());
}

void BackedPipe::fill_outbox(TimePoint now) {
  if (link_.reset_sent || link_.parting_sent) return;
  Outbox& outbox = link_.outbox;
  const std::uint64_t acknowledgement = reader_.delivered_sequence();
  const auto add = [&](FrameType type, std::uint64_t value, std::size_t payload_bytes = 0) {
    outbox.add({type, acknowledgement, value}, payload_bytes);
    if (link_.end_told != EndTold::not_yet) {
      link_.end_told = EndTold::before_last_frame;
    } else if (tells_end(type == FrameType::fin)) {
      link_.end_told = EndTold::by_last_frame;
    }
  };

  if (parting_) {
    const auto grace = std::chrono::duration_cast<std::chrono::milliseconds>(*parting_);
    add(FrameType::parting, static_cast<std::uint64_t>(grace.count()));
    return;
  }
  // Once only a RESET is left to send, nobody needs the answer to a PING or a larger window.
  if (!resetting() || writer_.sendable() > 0) {
    if (link_.pong_due) {
      add(FrameType::pong, *link_.pong_due);
      link_.pong_due.reset();
    }
    if (round_trips_.ping_due()) add(FrameType::ping, round_trips_.ping_sent(now));
    if (link_.window_due || reader_.window().update_due()) {
      add(FrameType::window, state_limit());
      link_.window_due = false;
    }
  }

  std::size_t budget = outbox.budget_bytes();
  while (budget > 0) {
    const std::size_t payload = std::min({writer_.sendable(), budget, kMaxPayloadBytes});
    if (payload == 0) break;
    add(FrameType::data, writer_.next_offset(), payload);
    writer_.schedule(payload);
    budget -= payload;
    if (!link_.unanswered_since) link_.unanswered_since = now;
  }
  if (!resetting() && writer_.fin_sendable()) {
    add(FrameType::fin, writer_.next_offset());
    writer_.schedule(1);
  }
  // A RESET does not wait for the window to open, but what can be sent goes first.
  if (resetting() && writer_.sendable() == 0) {
    add(FrameType::reset, static_cast<std::uint64_t>(*reset_reason_));
  }
  if (outbox.empty() && link_.acknowledge_now && acknowledgement != stated_acknowledgement_) {
    add(FrameType::ack, 0);
  }
  if (!outbox.empty()) {
    stated_acknowledgement_ = acknowledgement;
    link_.acknowledge_at.reset();
    link_.acknowledge_now = false;
  }
}

void BackedPipe::sent(std::uint64_t generation, std::size_t count) {
  if (state_ != PipeState::connected || generation != generation_) return;
  const Outbox::Progress progress = link_.outbox.taken(count);
  if (progress.sequence > writer_.sent()) writer_.mark_sent(*progress.sequence);
  if (progress.reset) link_.reset_sent = true;
  if (progress.parting) link_.parting_sent = true;
}

void BackedPipe::tick(TimePoint now) {
  if (link_.acknowledge_at && now >= *link_.acknowledge_at) {
    link_.acknowledge_at.reset();
    link_.acknowledge_now = true;
  }
}

// --- the end

void BackedPipe::reset(Reason reason) {
  if (state_ == PipeState::closed || resetting()) return;
  ledger().resetting(reason);
  reset_reason_ = reason;
  // What the peer sent before its own RESET may still be delivered.
  if (!reset_received_) {
    reader_.discard();
    ledger().delivered(reader_.ring().begin());
  }
  if (state_ != PipeState::connected) writer_.discard();
}

bool BackedPipe::link_at_rest() const {
  if (state_ != PipeState::connected) return false;
  if (!link_.outbox.empty() || !link_.decoder.at_boundary()) return false;
  if (reset_received_) return link_.end_told == EndTold::by_last_frame && !received_after_reset_;
  return link_.reset_sent;
}

void BackedPipe::close() {
  if (state_ == PipeState::closed) return;
  drop_link();
  candidate_.reset();
  writer_.discard();
  reader_.discard();
  state_ = PipeState::closed;
}

}  // namespace backedpipe
