// Commons: what the workers of a process have in common. Everything in it may be used from all of
// their threads; it outlives them.
#pragma once

#include <atomic>
#include <cstddef>

#include <boost/asio/io_context.hpp>

#include "net/listen/accept_failures.hpp"
#include "net/memory/shared_budget.hpp"
#include "net/peer_gates.hpp"
#include "net/report/event_feed.hpp"
#include "net/session_directory.hpp"
#include "pipe/segment_pool.hpp"

namespace backedpipe {

struct Commons {
  // `home` is the thread that does no work for sessions unless it is the only one.
  Commons(boost::asio::io_context& home, std::size_t memory_bytes)
      : events(home),
        accept_failures(home),
        memory(memory_bytes / SegmentPool::kDefaultSegmentBytes),
        gates(home, events) {}

  EventFeed events;
  AcceptFailures accept_failures;
  SharedBudget memory;
  PeerGates gates;  // of the dialling side
  std::atomic<std::size_t> client_sessions{0};
  SessionDirectory directory;  // of the accepting side
};

}  // namespace backedpipe
