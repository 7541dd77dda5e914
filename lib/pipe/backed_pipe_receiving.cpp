// BackedPipe: what comes from the link.
#include <algorithm>

#include "pipe/backed_pipe.hpp"

namespace backedpipe {
namespace {

// A year is for ever, and fits into a Duration.
Duration to_duration(std::uint64_t milliseconds) {
  constexpr std::chrono::milliseconds kMost = std::chrono::hours(24 * 365);
  const auto most = static_cast<std::uint64_t>(kMost.count());
  return std::chrono::milliseconds(std::min(milliseconds, most));
}

}  // namespace

std::size_t BackedPipe::prepare_receive(std::uint64_t generation, std::size_t max_bytes,
                                        std::span<MutableBytes> out) {
  if (state_ != PipeState::connected || generation != generation_ || resetting()) return 0;
  const FrameDecoder& decoder = link_.decoder;
  return reader_.prepare(decoder.frame().value, std::min(decoder.payload_left(), max_bytes), out);
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
  link_.received_data_last = false;
  link_.unanswered_since.reset();
  // Data that the link has not taken yet cannot have been answered.
  if (link_.outbox.holds_data()) link_.unanswered_since = now;
  if (placed > 0) {
    const auto taken = on_frame(link_.decoder.skip(placed), placed, now);
    if (!taken) return taken.error();
  }
  while (!reset_received_ && !link_.parting_received) {
    const auto event = link_.decoder.next(bytes);
    if (!event) return event.error();
    if (!*event) break;
    const auto taken = on_frame(**event, 0, now);
    if (!taken) return taken.error();
    if (const std::size_t left = (*event)->payload.size() - *taken; left > 0) {
      link_.decoder.put_back(left);
      return given - bytes.size() - left;
    }
  }
  if (reset_received_ && !bytes.empty()) received_after_reset_ = true;
  return given;
}

// Apart from its acknowledgement. A window is no news of its own: it moves with what was delivered,
// and that is acknowledged in the same frame.
bool BackedPipe::brings_news(const FrameDecoder::Event& event, std::size_t placed) const {
  switch (event.frame.type) {
    case FrameType::data:
      return !resetting() &&
             event.frame.value + placed + event.payload.size() > reader_.received_sequence();
    case FrameType::fin:
      return !resetting() && event.frame.value >= reader_.received_sequence();
    case FrameType::reset:
    case FrameType::parting:
      return true;
    default:
      return false;
  }
}

// Returns how much of the event's payload was taken. `placed` bytes of the frame are already in the
// reader's memory.
Result<std::size_t> BackedPipe::on_frame(const FrameDecoder::Event& event, std::size_t placed,
                                         TimePoint now) {
  const Frame& frame = event.frame;
  const std::uint64_t acknowledged = writer_.acknowledged();
  // A RESET ends the session in any case, so nothing depends on what it acknowledges.
  if (const auto known = writer_.acknowledge(frame.acknowledgement);
      !known && frame.type != FrameType::reset) {
    return violation(Reason::future_sequence);
  }
  if (writer_.acknowledged() > acknowledged) {
    link_.answered = true;
    round_trips_.data_flows(now);
  } else if (!brings_news(event, placed)) {
    link_.frame_budget.spend(now);
  }
  switch (frame.type) {
    case FrameType::data: {
      // The data is dropped, but its framing and acknowledgements count until the RESET is sent.
      if (resetting()) break;
      link_.received_data_last = true;
      round_trips_.data_flows(now);
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
    // Only the latest is answered: a flood of PINGs gets one PONG for each filling of the outbox.
    case FrameType::ping:
      link_.pong_due = frame.value;
      break;
    case FrameType::pong:
      if (round_trips_.pong_received(frame.value, now)) link_.answered = true;
      break;
    case FrameType::reset:
      reset_received_ = frame.reason();
      break;
    case FrameType::parting:
      link_.parting_received = to_duration(frame.value);
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

}  // namespace backedpipe
