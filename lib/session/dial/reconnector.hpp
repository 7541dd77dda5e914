// Reconnector says when a client should try for its next link: at once after losing one, then with
// jittered exponential backoff, for as long as the session lives. A peer that was there a moment
// ago is usually back soon, so that the pauses stay short for the first minute. It decides the time
// only; BackedPipe counts the generations, the network layer dials. Owned by a Session.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

class Reconnector {
 public:
  // The first pause; each further one is twice as long, up to the longest for the time that the
  // peer has been away.
  static constexpr Duration kFirstPause = std::chrono::milliseconds(50);
  static constexpr Duration kLongestInFirstMinute = std::chrono::milliseconds(500);
  static constexpr Duration kLongest = std::chrono::seconds(2);
  static constexpr Duration kLongestAfterFiveMinutes = std::chrono::seconds(10);

  // Give each session a seed of its own: the jitter spreads the dials of thousands of sessions.
  explicit Reconnector(std::uint64_t seed) : random_(seed) {}

  // A first link is wanted, or the link was lost. Tries at once if the lost link had been of use.
  void want(TimePoint now);
  // Tries at once, whatever came before.
  void want_now(TimePoint now);
  // The attempt failed.
  void failed(TimePoint now);
  // An attempt has begun; the next one is scheduled by its outcome.
  void started() { next_.reset(); }
  // The link has carried progress, or has lasted: its loss is no failure.
  void useful() { useful_ = true; }
  // The link carried something invalid.
  void useless() { useful_ = false; }
  // No link is wanted any more.
  void stop();

  std::optional<TimePoint> next_attempt() const { return next_; }
  std::uint32_t failures() const { return failures_; }

 private:
  Duration jittered(Duration delay);
  void schedule(TimePoint now);

  std::uint64_t random_;
  std::uint32_t failures_ = 0;
  bool useful_ = true;
  std::optional<TimePoint> trying_since_;
  std::optional<TimePoint> next_;
};

}  // namespace backedpipe
