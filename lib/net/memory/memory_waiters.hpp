// MemoryWaiters: the sessions for which the pool had no memory. They are woken in turn when some is
// freed. A session that still gets none joins the end of the queue again. Part of a WorkerContext.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pipe/segment_pool.hpp"

namespace backedpipe {

class MemoryWaiters {
 public:
  MemoryWaiters(boost::asio::io_context& io, SegmentPool& pool)
      : pool_(pool), timer_(io), look_timer_(io) {}

  // Calls `wake` once, soon after memory was freed.
  void add(std::function<void()> wake);

 private:
  void watch();
  void look_later();
  void freed();
  void wake_later();
  void wake_some();

  SegmentPool& pool_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer look_timer_;
  std::deque<std::function<void()>> waiting_;  // the longest waiting first
  std::size_t to_wake_ = 0;  // those at the front that were waiting when memory was freed
  bool watching_ = false;
  bool waking_ = false;
};

}  // namespace backedpipe
