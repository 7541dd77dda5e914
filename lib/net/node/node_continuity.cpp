// Node: what the next process continues with, and what the one before has left.
#include <algorithm>
#include <numeric>
#include <utility>

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/link/graceful_close.hpp"
#include "net/node/node.hpp"
#include "net/node/restore.hpp"
#include "net/node/session_options.hpp"

namespace backedpipe {
namespace {

// How long a daemon that parks has to tell its peers. What was sent by then arrives without it.
constexpr auto kPartFor = std::chrono::milliseconds(300);
constexpr auto kLookEvery = std::chrono::milliseconds(5);
// Different sets of names of sessions, on one worker. Only those in use take memory.
constexpr std::uint32_t kMostLabels = 1 << 16;

void log_plan(const RestorePlan& plan) {
  const auto starts = plan.now.starts - 1;
  const auto seconds = CrashLoop::kLastsAfter.count();
  if (plan.way == RestorePlan::Way::one_by_one) {
    spdlog::warn(
        "the daemon died {} times in a row within {} s of its start: its sessions are restored one "
        "by one, to know which one it is if it dies again",
        starts, seconds);
  } else if (plan.way == RestorePlan::Way::not_at_all) {
    spdlog::error(
        "the daemon died {} times in a row within {} s of its start: all its sessions are reset, "
        "because they may be the cause",
        starts, seconds);
  }
}

}  // namespace

std::unique_ptr<Continuity> Node::begin_continuity(Checked<Keeper> keeper, KeptDescriptors& kept) {
  if (!keeper) {
    not_kept_ = keeper.error();
    return nullptr;
  }
  const std::size_t workers = worker_count(settings_);
  const std::size_t arena = Workers::arena_bytes(workers, settings_.limits.max_memory_bytes);
  const auto in_32_bits = [](std::size_t value) { return static_cast<std::uint32_t>(value); };
  auto begun =
      Continuity::begin(std::move(*keeper), kept,
                        {.workers = in_32_bits(workers),
                         // Each of both roles may have as many, and all may be on one worker.
                         .records = in_32_bits(2 * settings_.limits.max_sessions),
                         .segments = in_32_bits(arena / SegmentPool::kDefaultSegmentBytes),
                         .labels = kMostLabels,
                         .tombstones = in_32_bits(settings_.limits.max_sessions),
                         .segment_bytes = in_32_bits(SegmentPool::kDefaultSegmentBytes)});
  if (begun) return std::move(*begun);
  not_kept_ = begun.error();
  spdlog::warn("sessions will end with this process: {}", not_kept_);
  return nullptr;
}

// Before any thread runs, and before any HELLO is answered: "unknown session" is final.
void Node::restore() {
  if (!continuity_) return;
  LedgerFile& file = continuity_->file();
  const RestorePlan plan = plan_restore(file.header().crash_loop);
  file.starts(plan.now);
  shared_.directory.record_tombstones(file.tombstones());
  const bool one_by_one = plan.way == RestorePlan::Way::one_by_one;
  if (continuity_->left() != nullptr) {
    log_plan(plan);
    restored_ = restore_sessions(*continuity_, workers_, shared_, plan);
    spdlog::info("restored {} sessions of the process before{}", restored_.sessions,
                 restored_.lost > 0 ? "; " + std::to_string(restored_.lost) + " were lost" : "");
  }
  continuity_->taken_over();
  if (!one_by_one) return;
  // Now, and not all workers at the same time.
  for (const auto& worker : workers_.all()) {
    worker->tunnels.resume_restored(&file);
    worker->acceptor.resume_restored(&file);
  }
}

void Node::look_whether_it_lasts() {
  if (!continuity_) return;
  lasting_timer_.expires_after(CrashLoop::kLastsAfter);
  lasting_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const std::uint32_t starts = continuity_->file().header().crash_loop.starts;
    continuity_->file().lasts();
    if (starts > CrashLoop::kOneByOneAfter) {
      spdlog::info("the daemon has run for {} s: if it dies, its sessions are restored together",
                   CrashLoop::kLastsAfter.count());
    }
  });
}

// Whatever comes now, it was not a session that has ended the process.
void Node::ends_in_order() {
  lasting_timer_.cancel();
  if (continuity_) continuity_->file().lasts();
}

// Has the listening sockets kept, so that nobody is refused before the next process listens. Those
// of the service manager are kept by itself.
void Node::keep_listeners() {
  if (!continuity_) return;
  std::map<std::string, std::vector<int>> wanted;
  for (const auto& worker : workers_.all()) {
    for (const auto& tunnel : worker->tunnels.tunnels()) {
      if (tunnel->passed) continue;
      wanted[KeptDescriptors::name_of_listener(tunnel->settings.name)].push_back(
          tunnel->listener->descriptor());
    }
    for (const auto& listener : worker->acceptor.listeners()) {
      if (listener->passed) continue;
      const std::string name = PassedSockets::name_of_link_listener(listener->settings.listen);
      wanted[KeptDescriptors::name_of_listener(name)].push_back(listener->listener->descriptor());
    }
  }
  for (const auto& [name, before] : kept_listeners_) {
    const auto now = wanted.find(name);
    if (now == wanted.end() || now->second != before) continuity_->drop(name);
  }
  for (const auto& [name, descriptors] : wanted) {
    const auto before = kept_listeners_.find(name);
    if (before == kept_listeners_.end() || before->second != descriptors) {
      continuity_->keep(name, descriptors);
    }
  }
  kept_listeners_ = std::move(wanted);
}

// Nobody shall connect to a daemon that accepts no more.
void Node::drop_listeners() {
  for (const auto& [name, descriptors] : std::exchange(kept_listeners_, {}))
    continuity_->drop(name);
}

ContinuitySnapshot Node::continuity() const {
  ContinuitySnapshot snapshot;
  snapshot.kept = continuity_ != nullptr;
  snapshot.why_not = not_kept_;
  if (continuity_) {
    const LedgerHeader& header = continuity_->file().header();
    snapshot.since = wall_time(header.began_at);
    snapshot.restarts = header.processes;
  }
  snapshot.restored = restored_.sessions;
  snapshot.lost = restored_.lost;
  return snapshot;
}

void Node::park(std::function<void()> parked) {
  const SessionCounts counts = session_counts();
  spdlog::info("parking: {} sessions are left to the next process", counts.connected + counts.away);
  monitor_.stop();
  ends_in_order();
  ready_ = false;
  stopped_ = std::move(parked);
  stop_began_ = steady_now();
  // Whoever connects waits for the next process, whose listening sockets these are as well.
  workers_.gather([grace = Duration(settings_.limits.restart_grace)](Worker& worker) {
    worker.tunnels.leave();
    worker.dialler.drain();
    worker.dialled.park_all(grace);
    worker.acceptor.park(grace);
  });
  look_whether_parked();
}

void Node::look_whether_parked() {
  if (open_links() == 0 || steady_now() - stop_began_ >= kPartFor) {
    spdlog::info("parked");
    return std::exchange(stopped_, nullptr)();
  }
  timer_.expires_after(kLookEvery);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_whether_parked();
  });
}

// Links over which the peers have not all been told.
std::size_t Node::open_links() {
  const auto parts = workers_.gather([](Worker& worker) {
    std::size_t count = ClosingLinks::of(worker.io).size();
    for (const auto* sessions : {&worker.dialled.all(), &worker.accepted.all()}) {
      count += static_cast<std::size_t>(
          std::count_if(sessions->begin(), sessions->end(),
                        [](const auto& each) { return each.second->has_link(); }));
    }
    return count;
  });
  return std::accumulate(parts.begin(), parts.end(), std::size_t{0});
}

}  // namespace backedpipe
