#include "session/dial/reconnector.hpp"

#include <algorithm>

namespace backedpipe {

Reconnector::Reconnector(const BackoffOptions& options, std::uint64_t seed)
    : options_(options), random_(seed) {}

void Reconnector::want(TimePoint now) {
  if (useful_) {
    failures_ = 0;
    trying_since_.reset();
    want_now(now);
  } else {
    // A link that carried nothing counts as one more failure. Otherwise two daemons with a broken
    // proxy between them would dial without a pause.
    failed(now);
  }
}

void Reconnector::want_now(TimePoint now) {
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
  const bool patient = now - *trying_since_ >= options_.patient_after;
  const Duration most = patient ? options_.most_when_patient : options_.most;
  const std::uint32_t doublings = std::min(failures_ - 1, 20U);
  next_ = now + jittered(std::min<Duration>(options_.first * (std::int64_t{1} << doublings), most));
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
  if (half.count() <= 0) return delay;
  return half +
         Duration(static_cast<std::int64_t>(mixed % static_cast<std::uint64_t>(half.count())));
}

}  // namespace backedpipe
