#include "session/dial/reconnector.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

Duration longest_pause(Duration away) {
  if (away < std::chrono::minutes(1)) return Reconnector::kLongestInFirstMinute;
  if (away < std::chrono::minutes(5)) return Reconnector::kLongest;
  return Reconnector::kLongestAfterFiveMinutes;
}

}  // namespace

void Reconnector::want(TimePoint now) {
  if (useful_) {
    want_now(now);
  } else {
    // A link that carried nothing counts as one more failure. Otherwise two daemons with a broken
    // proxy between them would dial without a pause.
    failed(now);
  }
}

void Reconnector::want_now(TimePoint now) {
  if (useful_) {
    failures_ = 0;
    trying_since_.reset();
  }
  if (!trying_since_) trying_since_ = now;
  useful_ = false;
  next_ = now;
}

void Reconnector::failed(TimePoint now) {
  if (!trying_since_) trying_since_ = now;
  ++failures_;
  schedule(now);
}

void Reconnector::stop() {
  next_.reset();
}

void Reconnector::schedule(TimePoint now) {
  const std::uint32_t doublings = std::min(failures_ - 1, 20U);
  const Duration pause = kFirstPause * (std::int64_t{1} << doublings);
  next_ = now + jittered(std::min(pause, longest_pause(now - *trying_since_)));
}

// Between half of the delay and all of it.
Duration Reconnector::jittered(Duration delay) {
  // splitmix64: small, and any seed will do.
  random_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t mixed = random_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  mixed ^= mixed >> 31;
  const Duration half = delay / 2;
  return half +
         Duration(static_cast<std::int64_t>(mixed % static_cast<std::uint64_t>(half.count())));
}

}  // namespace backedpipe
