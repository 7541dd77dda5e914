#include "session/tcp_counts.hpp"

namespace backedpipe {
namespace {

using State = TcpCounts::State;

// Whether the counts surely include the FIN of this direction. Unknown for a closed connection.
bool includes_received_end(State state) {
  return state == State::end_received || state == State::both_ended;
}

bool includes_given_end(State state) {
  return state == State::end_sent || state == State::both_ended;
}

}  // namespace

TcpBaseline baseline_of(const TcpCounts& counts) {
  return {
      .received = counts.received - counts.unread - (includes_received_end(counts.state) ? 1 : 0),
      .given = counts.acked + counts.unacked - (includes_given_end(counts.state) ? 1 : 0),
  };
}

std::optional<TcpMoved> moved_since(const TcpBaseline& baseline, const TcpCounts& counts,
                                    const TcpRecorded& recorded) {
  if (counts.error_pending) return std::nullopt;
  // The baseline may have been damaged by what ended the process.
  const std::uint64_t given = counts.acked + counts.unacked;
  if (counts.received < counts.unread || counts.received - counts.unread < baseline.received ||
      given < baseline.given) {
    return std::nullopt;
  }
  TcpMoved moved{.taken = counts.received - counts.unread - baseline.received,
                 .given = given - baseline.given,
                 .end_received = includes_received_end(counts.state),
                 .end_given = includes_given_end(counts.state)};
  // A connection without a pending error is closed for one of two reasons.
  // - Both streams have ended and were acknowledged. Then both FINs were counted.
  // - It was reset or has timed out, and the process that is gone has made a call that reported
  //   this. The next read then returns 0, as if the stream had ended. All bytes had been recorded
  //   before that call. So without a FIN a count is what was recorded, and has no room for one. If
  //   both FINs were counted, the last acknowledgement had not come yet, or the reset would have
  //   found the connection closed. It never comes now.
  if (counts.state == State::closed) {
    if (counts.unacked != 0) return std::nullopt;
    moved.end_received = moved.end_given = true;
  }
  if (moved.end_received && moved.taken-- == 0) return std::nullopt;
  if (moved.end_given && moved.given-- == 0) return std::nullopt;
  if (moved.taken < recorded.taken || moved.given < recorded.given) return std::nullopt;
  return moved;
}

}  // namespace backedpipe
