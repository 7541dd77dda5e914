#include "net/memory/memory_trimmer.hpp"

#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/pipe_fixture.hpp"

namespace backedpipe::test {
namespace {

constexpr std::size_t kKept = MemoryTrimmer::kKeptSegments;

class MemoryTrimmerTest : public testing::Test {
 protected:
  void burst(std::size_t count) {
    std::vector<SegmentIndex> segments;
    for (std::size_t i = 0; i < count; ++i)
      segments.push_back(*pool_->allocate(SegmentPool::Use::inbound));
    for (const SegmentIndex segment : segments)
      pool_->free(segment, SegmentPool::Use::inbound);
  }
  // Runs until nothing is left to do, which must happen by itself.
  void run() {
    io_.restart();
    io_.run_for(std::chrono::seconds(60));
    EXPECT_TRUE(io_.stopped());
  }

  ArenaPool pool_{4000};
  boost::asio::io_context io_;
  std::size_t discarded_bytes_ = 0;
  MemoryTrimmer trimmer_{io_, *pool_, [this](auto part) { discarded_bytes_ += part.size(); }};
};

TEST_F(MemoryTrimmerTest, DoesNothingAboutTheLittleThatStays) {
  burst(kKept);
  EXPECT_EQ(io_.poll(), 0U);
  EXPECT_TRUE(io_.stopped());
}

TEST_F(MemoryTrimmerTest, GivesBackWhatEachBurstLeavesAndThenRests) {
  burst(3000);
  run();
  EXPECT_EQ(pool_->warm_count(), kKept);
  EXPECT_EQ(discarded_bytes_, (3000 - kKept) * 16);
  burst(100);
  run();
  EXPECT_EQ(pool_->warm_count(), kKept);
}

}  // namespace
}  // namespace backedpipe::test
