// How many bytes an application's TCP connection has taken over from us and given to us, computed
// from what the kernel has counted. So a process that takes a connection over from one that was
// killed knows this to the byte, whatever that one was doing: a system call that has begun is
// completed before the process is gone.
//
// What Linux counts, each fact tried by tests/unit/tcp_counts_kernel_test.cpp:
// - `received` counts the bytes that have arrived in order, and the peer's FIN as one more.
//   `unread` does not count the FIN, whether the end of the stream was read or not.
// - `acked` + `unacked` count the bytes that were written, and our own FIN as one more from
//   shutdown() on. On a socket that has dialled they also count its SYN. A baseline takes that off.
// - An urgent byte is counted as received. A read returns it only with SO_OOBINLINE: a socket whose
//   bytes are to be counted needs that option.
// - After a reset, and after a timeout, the counts stay, and what was unread can still be read.
//   connect(AF_UNSPEC), which resets the connection from our side, sets them to nonsense.
//
// Without I/O. Plain values.
#pragma once

#include <cstdint>
#include <optional>

namespace backedpipe {

// What the kernel knows about one connection at one moment.
struct TcpCounts {
  // Which ends of streams the counts include, by the states of RFC 9293, section 3.3.2.
  //
  //            ┌─ FIN comes ─▶ end_received ─ FIN goes ──┐
  //     open ──┤                                         ├─▶ both_ended ─ all acknowledged ─▶ closed
  //            └─ FIN goes ──▶ end_sent ── FIN comes ────┘
  //
  // A reset or a timeout leads from each of them to closed. On a socket that is still open, even if
  // only in another process, no state but both_ended passes by itself: FIN-WAIT-2 lasts until the
  // peer sends its FIN or keepalive gives up. TIME-WAIT is kept aside, the socket is closed by then.
  enum class State {
    open,          // ESTABLISHED
    end_received,  // CLOSE-WAIT
    end_sent,      // FIN-WAIT-1, FIN-WAIT-2
    both_ended,    // CLOSING, LAST-ACK
    closed,        // CLOSED: after both FINs, a reset, or a timeout
  };
  State state = State::open;
  std::uint64_t received = 0;
  std::uint64_t unread = 0;
  std::uint64_t acked = 0;
  std::uint64_t unacked = 0;   // written, and not acknowledged
  bool error_pending = false;  // a reset or a timeout, that no call has reported yet
};

// What the counts were when a session began with the connection.
struct TcpBaseline {
  std::uint64_t received = 0;
  std::uint64_t given = 0;
};
TcpBaseline baseline_of(const TcpCounts& counts);

// What the process that is gone had recorded, from the same baseline. It must have recorded each
// read and each write before its next call on that socket, of whatever kind: then the latest one
// may be missing here, but only if no call was made after it.
struct TcpRecorded {
  std::uint64_t taken = 0;
  std::uint64_t given = 0;
};

struct TcpMoved {
  std::uint64_t taken = 0;    // bytes that were read from the connection
  std::uint64_t given = 0;    // bytes that were written to it
  bool end_received = false;  // the peer's end of stream has arrived: nothing comes after `unread`
  bool end_given = false;     // our end of stream was written: nothing can be added
};
// Nothing if the connection was reset or has timed out, or if these values contradict each other.
std::optional<TcpMoved> moved_since(const TcpBaseline& baseline, const TcpCounts& counts,
                                    const TcpRecorded& recorded);

}  // namespace backedpipe
