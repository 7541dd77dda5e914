// How much has passed on a TCP connection, from what the system has counted. A system call that has
// begun is finished before its process is killed, so these counts are exact whatever the process
// itself has recorded.
#pragma once

#include <cstdint>
#include <optional>

namespace backedpipe {

// As the system reports them (TCP_INFO, SIOCINQ, SIOCOUTQ).
struct TcpCounts {
  // RFC 9293, section 3.3.2, in the system's own numbers.
  enum class State : std::uint8_t {
    established = 1,
    syn_sent,
    syn_received,
    fin_wait_1,
    fin_wait_2,
    time_wait,
    closed,
    close_wait,
    last_ack,
    listening,
    closing,
  };
  std::uint64_t received = 0;        // a FIN counts as one, once it has arrived in order
  std::uint64_t acknowledged = 0;    // by the peer; the SYN of a dialled connection counts as one
  std::uint64_t unread = 0;          // of those received, without the FIN
  std::uint64_t unacknowledged = 0;  // our FIN counts as one
  State state = State::established;
  bool error_pending = false;
};

struct Moved {
  std::uint64_t taken = 0;  // bytes read from it
  std::uint64_t given = 0;  // bytes written to it
  bool end_received = false;
  bool end_given = false;
};

// The counts from which a session begins. Those of a dialled connection begin with its SYN.
struct TcpBaseline {
  std::uint64_t taken = 0;
  std::uint64_t given = 0;
};

// Since the connection exists. Precondition: it is not closed.
Moved moved_until(const TcpCounts& counts);
// Since the baseline; nothing if the connection was reset. `recorded` is how much the process has
// recorded as taken since then: it records each read before the next one.
std::optional<Moved> moved_since(const TcpBaseline& baseline, const TcpCounts& counts,
                                 std::uint64_t recorded);

}  // namespace backedpipe
