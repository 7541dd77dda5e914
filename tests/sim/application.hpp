// Application: a scripted program whose connection one of the daemons carries, and that
// connection's end in the daemon. Writes numbered bytes and reads at its own pace, pauses reading,
// finishes early or late, resets. It knows what its counterpart has written, so that it notices a
// wrong byte at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "checks.hpp"
#include "kill_points.hpp"
#include "random.hpp"
#include "readiness.hpp"
#include "session/pump/session_pump.hpp"
#include "session/tcp_counts.hpp"

namespace backedpipe::sim {

struct Script {
  std::size_t total_bytes = 0;
  std::size_t most_per_write = 1000;
  Duration write_gap{};
  std::size_t most_per_read = 1000;
  Duration read_gap{};
  Duration starts_after{};
  // Does not finish before the counterpart has finished.
  bool finishes_last = false;
  Duration finish_delay{};
  Duration stalls_at{};
  Duration stalls_for{};
  std::optional<Duration> resets_at;
  bool resets_when_detached = false;  // resets only after the link is gone
};

class Application final : public ApplicationEnd {
 public:
  // `clock` is the world's clock, `points` those of the daemon that carries its connection.
  Application(Side side, const Script& script, Random& random, const TimePoint& clock,
              KillPoints& points);

  // The counterpart whose bytes it reads.
  void meet(const Application* counterpart) { counterpart_ = counterpart; }

  // Does what is due apart from reads and writes. `attached`: its session has a link.
  void act(bool attached);
  std::optional<TimePoint> next_event() const;
  // Its connection vanished with the daemon.
  void lose() { told_ = true; }
  // Its daemon was killed, and the next one has its connection, even if the first one had closed it.
  void survive();
  // Faults are over: no more delays.
  void hurry();

  // --- what a poll of its connection shows

  bool readable() const;
  bool writable() const;
  // An error, or both directions have ended.
  bool broken() const { return pending_error_ || (has_ended() && end_seen_); }
  Readiness& readiness() { return readiness_; }

  // --- the daemon's end of its connection

  IoResult read(std::span<const MutableBytes> pieces) override;
  IoResult write(std::span<const ConstBytes> pieces) override;
  boost::system::error_code take_error() override;
  std::optional<Unanswered> unanswered() override { return std::nullopt; }
  void finish() override;
  void close() override;
  void reset() override;

  // --- what it has seen

  std::uint64_t written() const { return written_; }
  bool finished() const { return finished_; }
  std::uint64_t taken() const { return taken_; }
  bool end_seen() const { return end_seen_; }
  // How much may be acknowledged: the end of the stream counts as one.
  std::uint64_t taken_sequence() const { return taken_ + (end_seen_ ? 1 : 0); }
  const Application* counterpart() const { return counterpart_; }
  bool gone() const { return has_reset_ || told_; }
  std::string describe() const;
  bool was_told() const { return told_; }
  // What the next process finds of its connection: what the system has counted, or nothing if it was
  // reset. Where nobody counts, a reset leaves no trace: the connection is there, and reading it
  // shows an end.
  std::optional<TcpMoved> moved(bool counted) const;
  bool has_reset() const { return has_reset_; }
  // It received everything that was meant for it.
  bool complete() const {
    return end_seen_ && counterpart_ != nullptr && counterpart_->finished_ &&
           taken_ == counterpart_->written_;
  }

 private:
  IoResult read_now(std::span<const MutableBytes> pieces);
  IoResult write_now(std::span<const ConstBytes> pieces);
  IoResult give(std::span<const MutableBytes> pieces, std::size_t most);
  void check_open() const;
  // It has ended its direction; the end may not have been read yet.
  bool has_ended() const { return finish_at_ && now_ >= *finish_at_; }
  bool stalls() const;
  std::byte byte_at(std::uint64_t offset) const;

  Side side_;
  Script script_;
  Random& random_;
  const TimePoint& now_;
  KillPoints& points_;
  const Application* counterpart_ = nullptr;
  TimePoint born_;
  TimePoint next_write_;
  TimePoint next_read_;
  std::optional<TimePoint> finish_at_;
  Readiness readiness_;
  std::uint64_t written_ = 0;
  std::uint64_t taken_ = 0;
  bool finished_ = false;
  bool end_seen_ = false;
  bool has_reset_ = false;
  std::size_t last_words_ = 0;  // on the connection when it was reset, and not yet read
  std::optional<boost::system::error_code> pending_error_;
  bool last_try_ = false;  // the last write before it is reset
  bool told_ = false;
  bool closed_ = false;
  bool survived_ = false;
};

}  // namespace backedpipe::sim
