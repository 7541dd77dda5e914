#include "pipe/round_trips.hpp"

#include <algorithm>
#include <utility>

namespace backedpipe {
namespace {

// How often the round trip is measured while data flows in either direction: queues fill and drain.
constexpr Duration kMeasureEvery = std::chrono::seconds(1);
// A measurement of at least this, and of twice the usual, may include an outage: it is repeated
// soon.
constexpr Duration kUnusual = std::chrono::milliseconds(100);
// A path may become longer without notice: its least round trip is forgotten after one to two
// periods of this length. The kernel's TCP keeps its own for as long (tcp_min_rtt_wlen).
constexpr Duration kLeastPeriod = std::chrono::seconds(300);

}  // namespace

std::optional<Duration> RoundTrips::least_of_latest() const {
  if (!smoothed_) return std::nullopt;
  return *std::min_element(latest_.begin(), latest_.end());
}

std::optional<RoundTrip> RoundTrips::path() const {
  if (!smoothed_) return std::nullopt;
  return RoundTrip{.usual = *smoothed_, .least = std::min(least_, least_before_)};
}

void RoundTrips::ask(TimePoint now) {
  if (!asked_at_) asked_at_ = now;
}

void RoundTrips::data_flows(TimePoint now) {
  if (unusual_ || !measured_at_ || now - *measured_at_ >= kMeasureEvery) ask(now);
}

void RoundTrips::attached(std::optional<Duration> handshake, TimePoint now) {
  // An answer that took longer may have waited for a process rather than for the path.
  if (handshake && *handshake < kUnusual) {
    measured(*handshake, now);
  } else {
    handshake_ = handshake.value_or(Duration{});
    ask(now);
  }
}

void RoundTrips::link_lost() {
  handshake_ = {};
  asked_at_.reset();
  sent_at_.reset();
  measured_at_.reset();
}

std::uint64_t RoundTrips::ping_sent(TimePoint now) {
  sent_at_ = now;
  return ++token_;
}

bool RoundTrips::pong_received(std::uint64_t token, TimePoint now) {
  if (!sent_at_ || token != token_) return false;
  measured(now - *sent_at_, now);
  asked_at_.reset();
  sent_at_.reset();
  return true;
}

void RoundTrips::measured(Duration sample, TimePoint now) {
  unusual_ = measured_at_ && sample > std::max(kUnusual, 2 * *least_of_latest());
  if (measured_at_) {
    // An eighth of each new sample, as in RFC 6298.
    *smoothed_ += (sample - *smoothed_) / 8;
    std::rotate(latest_.begin(), latest_.begin() + 1, latest_.end());
    latest_.back() = sample;
  } else {
    smoothed_ = sample;
    // What the handshake took counts as well: this sample alone may include an outage.
    latest_.fill(handshake_ > Duration{} ? std::min(sample, handshake_) : sample);
    least_ = least_before_ = sample;
    least_since_ = now;
  }
  if (now - least_since_ >= kLeastPeriod) {
    least_before_ = std::exchange(least_, sample);
    least_since_ = now;
  }
  least_ = std::min(least_, sample);
  measured_at_ = now;
  handshake_ = {};
}

}  // namespace backedpipe
