#include "session/liveness.hpp"

#include <algorithm>

namespace backedpipe {

TimePoint Liveness::ask_at(const BackedPipe& pipe) const {
  const TimePoint idle = *pipe.last_received_at() + options_.ping;
  if (const auto since = pipe.unanswered_since()) {
    return std::min(idle, *since + options_.suspect / 3);
  }
  return idle;
}

Liveness::Verdict Liveness::judge(const BackedPipe& pipe, TimePoint now) const {
  if (pipe.state() != PipeState::connected) return Verdict::alive;
  const TimePoint received = *pipe.last_received_at();
  if (now >= received + options_.dead) return Verdict::dead;
  if (const auto asked = pipe.ping_sent_at()) {
    return now >= std::max(*asked, received) + options_.suspect ? Verdict::suspect : Verdict::alive;
  }
  return now >= ask_at(pipe) ? Verdict::ask : Verdict::alive;
}

std::optional<TimePoint> Liveness::deadline(const BackedPipe& pipe, TimePoint now) const {
  if (pipe.state() != PipeState::connected) return std::nullopt;
  const TimePoint received = *pipe.last_received_at();
  const TimePoint dead = received + options_.dead;
  if (const auto asked = pipe.ping_sent_at()) {
    const TimePoint suspect = std::max(*asked, received) + options_.suspect;
    return suspect > now ? std::min(suspect, dead) : dead;
  }
  // A ping that is already asked for goes out as soon as the link takes it.
  const TimePoint ask = ask_at(pipe);
  return ask > now ? std::min(ask, dead) : dead;
}

}  // namespace backedpipe
