#include "session/crash_loop.hpp"

#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace backedpipe {
namespace {

using Way = RestorePlan::Way;

SessionId id_of(std::uint8_t first) {
  SessionId id;
  id.bytes[0] = first;
  return id;
}

// As the process writes it while it starts.
void turn_of(CrashLoop& loop, const SessionId& session) {
  loop.in_turn = session;
  loop.is_in_turn = 1;
}

// What a process leaves that dies `times` times in a row, each time before it has lasted.
CrashLoop after(int times) {
  CrashLoop loop;
  for (int i = 0; i < times; ++i)
    loop = plan_restore(loop).now;
  return loop;
}

TEST(CrashLoop, AFirstStartRestoresAllAndIsCounted) {
  const RestorePlan plan = plan_restore({});
  EXPECT_EQ(plan.way, Way::together);
  EXPECT_EQ(plan.now.starts, 1U);
}

TEST(CrashLoop, TheMoreStartsDidNotLastTheLessIsRisked) {
  const std::vector<Way> expected{Way::together,   Way::together,   Way::one_by_one,
                                  Way::one_by_one, Way::one_by_one, Way::not_at_all,
                                  Way::not_at_all};
  for (std::size_t deaths = 0; deaths < expected.size(); ++deaths)
    EXPECT_EQ(plan_restore(after(static_cast<int>(deaths))).way, expected[deaths]) << deaths;
}

TEST(CrashLoop, TheSessionInWhoseTurnTheProcessDiedIsSuspectedInAllStartsThatFollow) {
  CrashLoop loop = after(3);
  turn_of(loop, id_of(7));
  loop = plan_restore(loop).now;
  EXPECT_TRUE(loop.is_suspect(id_of(7)));
  EXPECT_FALSE(loop.is_suspect(id_of(8)));
  EXPECT_EQ(loop.is_in_turn, 0U);
  turn_of(loop, id_of(8));
  loop = plan_restore(loop).now;
  EXPECT_TRUE(loop.is_suspect(id_of(7)));
  EXPECT_TRUE(loop.is_suspect(id_of(8)));
  EXPECT_FALSE(loop.is_suspect(id_of(9)));
}

TEST(CrashLoop, NobodyIsSuspectedIfTheProcessDiedInNobodysTurn) {
  CrashLoop loop = after(3);
  turn_of(loop, id_of(7));
  loop.is_in_turn = 0;
  loop = plan_restore(loop).now;
  EXPECT_EQ(loop.suspect_count, 0U);
  EXPECT_FALSE(loop.is_suspect(id_of(7)));
}

TEST(CrashLoop, AStartThatLastedClearsEverything) {
  CrashLoop loop = after(3);
  turn_of(loop, id_of(7));
  loop = plan_restore(loop).now;
  loop.starts = 0;
  const RestorePlan plan = plan_restore(loop);
  EXPECT_EQ(plan.way, Way::together);
  EXPECT_FALSE(plan.now.is_suspect(id_of(7)));
}

TEST(CrashLoop, WhateverIsFoundAfterACrashIsAPlan) {
  CrashLoop loop;
  std::memset(static_cast<void*>(&loop), 0xff, sizeof loop);
  const RestorePlan plan = plan_restore(loop);
  EXPECT_EQ(plan.way, Way::not_at_all);
  EXPECT_EQ(plan.now.starts, std::numeric_limits<std::uint32_t>::max());
  loop.starts = 3;
  EXPECT_EQ(plan_restore(loop).way, Way::one_by_one);
  EXPECT_TRUE(plan_restore(loop).now.is_suspect(loop.in_turn));
}

}  // namespace
}  // namespace backedpipe
