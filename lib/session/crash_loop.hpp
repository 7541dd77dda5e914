// CrashLoop: how the latest starts of the daemon went, and what follows for the sessions that the
// next one finds. A daemon that dies again and again soon after its start may die of one of them.
//
//   starts in a row that did not last    the sessions are restored
//   0, 1                                 together
//   2, 3, 4                              one by one: if the process dies, it was the one in its turn
//   5 or more                            not at all: every one is reset
//
// A start that lasts (kLastsAfter), or an orderly end, sets the number back to 0. A plain value; it
// lies in the header of the ledger (LedgerFile), where it is written as the start goes on. After a
// crash anything may be found there.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <type_traits>

#include "proto/session_id.hpp"

namespace backedpipe {

struct CrashLoop {
  static constexpr auto kLastsAfter = std::chrono::seconds(10);
  static constexpr std::uint32_t kOneByOneAfter = 2;
  static constexpr std::uint32_t kResetAllAfter = 5;

  std::uint32_t starts = 0;  // in a row that have not lasted, the present one included
  std::uint32_t suspect_count = 0;
  // Each was in its turn when a process died.
  std::array<SessionId, kResetAllAfter - kOneByOneAfter> suspects{};
  std::uint32_t is_in_turn = 0;  // not 0: `in_turn` is being restored, or runs for the first time
  std::uint32_t unused = 0;
  SessionId in_turn{};

  bool is_suspect(const SessionId& session) const;
};
static_assert(std::is_trivially_copyable_v<CrashLoop>);

struct RestorePlan {
  enum class Way : std::uint8_t { together, one_by_one, not_at_all };

  Way way = Way::together;
  CrashLoop now;  // of the process that starts; its suspects are reset instead of being restored
};

// `left` is what the process before has left.
RestorePlan plan_restore(const CrashLoop& left);

}  // namespace backedpipe
