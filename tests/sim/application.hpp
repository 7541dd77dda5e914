// Application: a scripted program behind one of the daemons. Writes numbered bytes at its own pace,
// reads at its own pace, stops reading for a while, finishes early or late, resets; and knows what
// its counterpart has written, so that it notices at once when a byte is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "checks.hpp"
#include "random.hpp"
#include "session/session.hpp"

namespace backedpipe::sim {

struct Script {
  std::size_t total_bytes = 0;
  std::size_t most_per_write = 1000;
  Duration write_gap{};
  std::size_t most_per_read = 1000;
  Duration read_gap{};
  Duration starts_after{};
  // Says nothing more until the counterpart has finished.
  bool finishes_last = false;
  Duration finish_delay{};
  Duration stalls_at{};
  Duration stalls_for{};
  std::optional<Duration> resets_at;
  bool resets_when_detached = false;  // not before the link is gone
};

class Application {
 public:
  Application(Side side, const Script& script, Random& random, TimePoint now);

  // Whose bytes it reads.
  void meet(const Application* counterpart) { counterpart_ = counterpart; }

  // Does what it wants to do now. True if anything happened.
  bool pump(Session& session, TimePoint now);
  std::optional<TimePoint> next_event(TimePoint now) const;

  // Its connection was reset, after taking what it takes at once.
  void tell(Session& session, Reason reason, TimePoint now);
  // Its connection vanished together with the daemon.
  void lose() { told_ = Reason::unknown_session; }
  // Faults are over: no more dawdling.
  void hurry(TimePoint now);

  // --- what it has seen

  std::uint64_t written() const { return written_; }
  bool finished() const { return finished_; }
  std::uint64_t taken() const { return taken_; }
  bool end_seen() const { return end_seen_; }
  // What may be acknowledged: the end counts as one.
  std::uint64_t taken_sequence() const { return taken_ + (end_seen_ ? 1 : 0); }
  const Application* counterpart() const { return counterpart_; }
  bool gone() const { return has_reset_ || told_; }
  std::string describe() const;
  bool was_told() const { return told_.has_value(); }
  bool has_reset() const { return has_reset_; }
  // It got all that was meant for it.
  bool complete() const {
    return end_seen_ && counterpart_ != nullptr && counterpart_->finished_ &&
           taken_ == counterpart_->written_;
  }

 private:
  bool write(Session& session, TimePoint now);
  bool read(Session& session, TimePoint now);
  std::size_t read_at_most(Session& session, std::size_t most, TimePoint now);
  std::byte byte_at(std::uint64_t offset) const;

  Side side_;
  Script script_;
  Random& random_;
  const Application* counterpart_ = nullptr;
  TimePoint born_;
  TimePoint next_write_;
  TimePoint next_read_;
  std::optional<TimePoint> finish_at_;
  std::uint64_t written_ = 0;
  std::uint64_t taken_ = 0;
  bool finished_ = false;
  bool end_seen_ = false;
  bool has_reset_ = false;
  std::optional<Reason> told_;
};

}  // namespace backedpipe::sim
