// WorkerContext: what the sessions of one thread share. Everything here is used on that thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/keep/worker_ledger.hpp"
#include "net/memory/arena.hpp"
#include "net/memory/memory_trimmer.hpp"
#include "net/memory/memory_waiters.hpp"
#include "net/shared/shared_state.hpp"
#include "pipe/segment_pool.hpp"
#include "session/pump/session_pump.hpp"

namespace backedpipe {

class WorkerContext {
 public:
  // Reserves `arena_bytes` of address space for its arena; the shared budget limits how much of
  // that is used. With a ledger, which must outlive the context, outbound bytes lie there instead.
  // The first worker logs what would otherwise be logged once by each.
  WorkerContext(boost::asio::io_context& io, SharedState& shared, std::size_t number,
                std::size_t arena_bytes, const SessionOptions& options,
                WorkerLedger* ledger = nullptr)
      : io_(io),
        shared_(shared),
        number_(number),
        arena_(arena_bytes),
        pool_(arena_.bytes(), shared.memory),
        ledger_(ledger),
        outbound_pool_(ledger == nullptr ? std::optional<SegmentPool>()
                                         : std::optional<SegmentPool>(
                                               std::in_place, ledger->arena(), shared.memory)),
        memory_waiters_(io, pool_),
        memory_trimmer_(io, pool_, &AnonymousArena::discard),
        session_options_(options),
        scratch_(kScratchBytes),
        pump_memory_{{pool_, outbound_pool_ ? *outbound_pool_ : pool_}, scratch_} {
    if (outbound_pool_) outbound_trimmer_.emplace(io, *outbound_pool_, &MemfdArena::discard);
  }

  boost::asio::io_context& io() { return io_; }
  SharedState& shared() { return shared_; }
  std::size_t number() const { return number_; }
  bool is_first() const { return number_ == 0; }
  SegmentPool& pool() { return pool_; }
  MemoryWaiters& memory_waiters() { return memory_waiters_; }
  EventFeed& events() { return shared_.events; }
  const SessionOptions& session_options() const { return session_options_; }
  // For the sessions that begin from now on.
  void use(const SessionOptions& options) { session_options_ = options; }

  SessionPump::Memory& pump_memory() { return pump_memory_; }
  // Null if sessions end with this process.
  WorkerLedger* ledger() { return ledger_; }

  // From the kernel, many at a time. Cannot be predicted, so session ids may be made of it.
  std::uint64_t random();

 private:
  static constexpr std::size_t kScratchBytes = std::size_t{256} << 10;

  boost::asio::io_context& io_;
  SharedState& shared_;
  std::size_t number_;
  AnonymousArena arena_;
  SegmentPool pool_;
  WorkerLedger* ledger_;
  std::optional<SegmentPool> outbound_pool_;
  std::optional<MemoryTrimmer> outbound_trimmer_;
  MemoryWaiters memory_waiters_;
  MemoryTrimmer memory_trimmer_;
  SessionOptions session_options_;
  std::vector<std::byte> scratch_;
  SessionPump::Memory pump_memory_;
  std::array<std::uint64_t, 32> random_{};
  std::size_t random_left_ = 0;
};

}  // namespace backedpipe
