// MemoryTrimmer: gives memory that a burst has left behind in the pool back to the system, within
// seconds. A pool that keeps using its memory keeps it, and nothing runs while there is nothing to
// give back. Part of a WorkerContext.
#pragma once

#include <cstddef>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pipe/segment_pool.hpp"

namespace backedpipe {

class MemoryTrimmer {
 public:
  // What stays for the next burst, which then begins without page faults: 2 MiB.
  static constexpr std::size_t kKeptSegments = 32;

  MemoryTrimmer(boost::asio::io_context& io, SegmentPool& pool, SegmentPool::Discard discard);

 private:
  void watch();
  void look_after(boost::asio::steady_timer::duration wait);
  void trim();

  SegmentPool& pool_;
  SegmentPool::Discard discard_;
  boost::asio::steady_timer timer_;
};

}  // namespace backedpipe
