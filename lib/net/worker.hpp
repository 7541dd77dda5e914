// Worker: what the sessions of one thread share. Everything here is used on that thread only.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/accept_failures.hpp"
#include "net/arena.hpp"
#include "net/event_feed.hpp"
#include "net/memory_waiters.hpp"
#include "pipe/segment_pool.hpp"
#include "session/session.hpp"

namespace backedpipe {

class Worker {
 public:
  Worker(boost::asio::io_context& io, std::size_t memory_bytes, const SessionOptions& options)
      : io_(io),
        arena_(memory_bytes),
        pool_(arena_.bytes()),
        memory_waiters_(io, pool_),
        accept_failures_(io),
        session_options_(options),
        scratch_(kScratchBytes) {}

  boost::asio::io_context& io() { return io_; }
  SegmentPool& pool() { return pool_; }
  MemoryWaiters& memory_waiters() { return memory_waiters_; }
  AcceptFailures& accept_failures() { return accept_failures_; }
  EventFeed& events() { return events_; }
  const SessionOptions& session_options() const { return session_options_; }
  // For the sessions that begin from now on.
  void use(const SessionOptions& options) { session_options_ = options; }

  // For one read from a link; its content lasts until the handler returns.
  MutableBytes scratch() { return scratch_; }

  // From the kernel: good enough to choose session ids that nobody can guess.
  std::uint64_t random() { return (std::uint64_t{entropy_()} << 32) | entropy_(); }

  static TimePoint now() { return std::chrono::steady_clock::now(); }

 private:
  static constexpr std::size_t kScratchBytes = std::size_t{256} << 10;

  boost::asio::io_context& io_;
  AnonymousArena arena_;
  SegmentPool pool_;
  MemoryWaiters memory_waiters_;
  AcceptFailures accept_failures_;
  EventFeed events_;
  SessionOptions session_options_;
  std::vector<std::byte> scratch_;
  std::random_device entropy_;
};

}  // namespace backedpipe
