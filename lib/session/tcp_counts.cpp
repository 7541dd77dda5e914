#include "session/tcp_counts.hpp"

namespace backedpipe {
namespace {

using State = TcpCounts::State;

bool has_received_end(State state) {
  return state == State::close_wait || state == State::last_ack || state == State::closing ||
         state == State::time_wait;
}

bool has_given_end(State state) {
  return state == State::fin_wait_1 || state == State::fin_wait_2 || state == State::closing ||
         state == State::last_ack || state == State::time_wait;
}

Moved moved(const TcpCounts& counts, bool end_received, bool end_given) {
  return {.taken = counts.received - counts.unread - (end_received ? 1 : 0),
          .given = counts.acknowledged + counts.unacknowledged - (end_given ? 1 : 0),
          .end_received = end_received,
          .end_given = end_given};
}

}  // namespace

Moved moved_until(const TcpCounts& counts) {
  return moved(counts, has_received_end(counts.state), has_given_end(counts.state));
}

std::optional<Moved> moved_since(const TcpBaseline& baseline, const TcpCounts& counts,
                                 std::uint64_t recorded) {
  if (counts.error_pending) return std::nullopt;
  Moved until = moved_until(counts);
  if (counts.state == State::closed) {
    // Both ends have passed in order, or a reset was met by a system call of the process, which took
    // the error with it. A call that meets a reset takes no bytes, and all bytes from before it were
    // recorded. So if nothing was counted beyond these, there was no FIN either.
    if (counts.received - counts.unread <= baseline.taken + recorded) return std::nullopt;
    until = moved(counts, true, true);
  }
  // Less than at the beginning: these are not the counts of that connection.
  if (until.taken < baseline.taken || until.given < baseline.given) return std::nullopt;
  until.taken -= baseline.taken;
  until.given -= baseline.given;
  return until;
}

}  // namespace backedpipe
