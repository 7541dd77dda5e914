// Reconnector says when a client should try for its next link: at once after losing one, then with
// jittered exponential backoff, for as long as the session lives. It decides the time only;
// BackedPipe counts the generations, the network layer dials. Owned by a Session.
#pragma once

#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

struct BackoffOptions {
  Duration first = std::chrono::milliseconds(50);
  Duration most = std::chrono::seconds(2);
  // A peer that is away for longer than this is dialled less often.
  Duration patient_after = std::chrono::minutes(5);
  Duration most_when_patient = std::chrono::seconds(10);
};

class Reconnector {
 public:
  // Give each session a seed of its own: the jitter spreads the dials of thousands of sessions.
  Reconnector(const BackoffOptions& options, std::uint64_t seed);

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

  BackoffOptions options_;
  std::uint64_t random_;
  std::uint32_t failures_ = 0;
  bool useful_ = true;
  std::optional<TimePoint> trying_since_;
  std::optional<TimePoint> next_;
};

}  // namespace backedpipe
