// SharedState: what the workers of a process share. All of it may be used from any of their
// threads; it outlives them.
#pragma once

#include <atomic>
#include <cstddef>

#include <boost/asio/io_context.hpp>

#include "net/shared/accept_failures.hpp"
#include "net/shared/event_feed.hpp"
#include "net/shared/peer_gates.hpp"
#include "net/shared/session_directory.hpp"
#include "net/shared/shared_budget.hpp"
#include "net/shared/unkept_sessions.hpp"
#include "pipe/segment_pool.hpp"

namespace backedpipe {

struct SharedState {
  // `home`: the thread that serves no sessions, unless it is the only one.
  SharedState(boost::asio::io_context& home, std::size_t memory_bytes)
      : events(home),
        accept_failures(home),
        unkept(home),
        memory(memory_bytes / SegmentPool::kDefaultSegmentBytes),
        gates(home, events) {}

  EventFeed events;
  AcceptFailures accept_failures;
  UnkeptSessions unkept;
  SharedBudget memory;
  PeerGates gates;  // of the dialling side
  std::atomic<std::size_t> client_sessions{0};
  SessionDirectory directory;  // of the accepting side
};

}  // namespace backedpipe
