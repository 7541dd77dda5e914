// LinkState: what a BackedPipe knows that concerns one link only. When a link goes, the whole of it
// is replaced; while there is none, it collects what the next link is to carry (an acknowledgement
// of bytes delivered meanwhile). What outlives a link is a member of BackedPipe itself: offsets and
// held bytes, what was measured, when something was last received. Owned by a BackedPipe.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/frame_budget.hpp"
#include "pipe/outbox.hpp"
#include "pipe/time.hpp"
#include "proto/frame.hpp"

namespace backedpipe {

// Has the peer been told over this link that both directions have ended, which lets it end the
// session?
//
//   not_yet ──▶ by_last_frame ──▶ before_last_frame
enum class EndTold : std::uint8_t {
  not_yet,
  by_last_frame,      // or by the handshake, with no frame after it
  before_last_frame,  // another frame followed the one that told it
};

struct LinkState {
  // For the next link. Only the outbox's budget goes on: the next link usually takes the same path.
  LinkState renewed() const { return {.outbox = Outbox(outbox.budget_bytes())}; }

  Outbox outbox{};
  FrameDecoder decoder{};
  FrameBudget frame_budget{};
  std::optional<TimePoint> acknowledge_at{};    // an acknowledgement waits for data until then
  std::optional<TimePoint> unanswered_since{};  // see BackedPipe::unanswered_since
  std::optional<std::uint64_t> pong_due{};      // the token of the latest PING
  bool acknowledge_now = false;
  bool window_due = false;  // state it even if it has not moved by a quarter
  bool answered = false;    // see BackedPipe::answered
  bool received_data_last = false;
  bool reset_sent = false;
  bool parting_sent = false;
  std::optional<Duration> parting_received{};
  EndTold end_told = EndTold::not_yet;
};

}  // namespace backedpipe
