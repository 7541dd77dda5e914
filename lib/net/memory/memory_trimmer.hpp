// MemoryTrimmer: gives the memory that a burst has left unused in the pool back to the system,
// within seconds. Memory in regular use stays, and no timer runs while nothing is to be given back.
// Part of a WorkerContext.
#pragma once

#include <cstddef>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pipe/segment_pool.hpp"

namespace backedpipe {

class MemoryTrimmer {
 public:
  // Stays for the next burst, so that it begins without page faults: 2 MiB.
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
