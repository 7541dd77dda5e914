#include "session/liveness.hpp"

#include <algorithm>

namespace backedpipe {

TimePoint Liveness::ask_at(const BackedPipe& pipe) const {
  const TimePoint received = *pipe.last_received_at();
  const Duration soon = std::min(options_.ping, options_.suspect / 3);
  const TimePoint idle = received + (pipe.received_data_last() ? soon : options_.ping);
  if (const auto since = pipe.unanswered_since()) return std::min(idle, *since + soon);
  return idle;
}

std::optional<TimePoint> Liveness::suspect_at(const BackedPipe& pipe) const {
  const auto owed_since = earlier(pipe.ping_asked_at(), pipe.unanswered_since());
  if (!owed_since) return std::nullopt;
  return std::max(*owed_since, *pipe.last_received_at()) + patience(pipe);
}

// On a path with full buffers an answer takes seconds, and where one segment is lost it takes that
// long once more. The limit is for a round trip that was measured across an outage.
Duration Liveness::patience(const BackedPipe& pipe) const {
  const Duration usual = 3 * pipe.round_trip().value_or(Duration::zero());
  return std::clamp(usual, options_.suspect, 2 * options_.suspect);
}

Liveness::Verdict Liveness::judge(const BackedPipe& pipe, TimePoint now) const {
  if (pipe.state() != PipeState::connected) return Verdict::alive;
  if (now >= *pipe.last_received_at() + options_.dead) return Verdict::dead;
  // Never suspected without having been asked.
  if (!pipe.ping_asked_at()) return now >= ask_at(pipe) ? Verdict::ask : Verdict::alive;
  return now >= *suspect_at(pipe) ? Verdict::suspect : Verdict::alive;
}

std::optional<TimePoint> Liveness::deadline(const BackedPipe& pipe, TimePoint now) const {
  if (pipe.state() != PipeState::connected) return std::nullopt;
  const TimePoint dead = *pipe.last_received_at() + options_.dead;
  const TimePoint next = pipe.ping_asked_at() ? *suspect_at(pipe) : ask_at(pipe);
  return next > now ? std::min(next, dead) : dead;
}

}  // namespace backedpipe
