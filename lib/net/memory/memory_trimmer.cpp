#include "net/memory/memory_trimmer.hpp"

#include <chrono>
#include <utility>

namespace backedpipe {
namespace {

// Memory that was unused for one to two of these periods is given back.
constexpr auto kPeriod = std::chrono::seconds(2);
// The kernel takes one or two milliseconds for this much (64 MiB). The sessions run between two
// such calls.
constexpr std::size_t kAtOnce = 1024;
constexpr auto kPause = std::chrono::milliseconds(20);

}  // namespace

MemoryTrimmer::MemoryTrimmer(boost::asio::io_context& io, SegmentPool& pool,
                             SegmentPool::Discard discard)
    : pool_(pool), discard_(std::move(discard)), timer_(io) {
  watch();
}

void MemoryTrimmer::watch() {
  pool_.when_surplus(kKeptSegments, [this] { look_after(kPeriod); });
}

void MemoryTrimmer::look_after(boost::asio::steady_timer::duration wait) {
  timer_.expires_after(wait);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) trim();
  });
}

void MemoryTrimmer::trim() {
  const std::size_t given_back = pool_.trim({.keep = kKeptSegments, .at_most = kAtOnce}, discard_);
  if (given_back == kAtOnce) return look_after(kPause);
  if (pool_.warm_count() > kKeptSegments) return look_after(kPeriod);
  watch();
}

}  // namespace backedpipe
