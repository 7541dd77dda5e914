#include "session/liveness.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// TCP retransmits a lost segment after 200 ms and a round trip, and again after twice that time
// (RFC 6298, with Linux's least variance). The patience is long enough for both.
constexpr Duration kTwoTimeouts = std::chrono::milliseconds(600);
constexpr int kRoundTrips = 4;
// For a link whose round trip alone takes long.
constexpr int kSlowRoundTrips = 3;
// Before a round trip is measured, the handshake's answer is a hint.
constexpr int kAnswers = 2;
// So many links in a row may die young before others get more time: meanwhile smaller segments are
// tried (see SegmentLimit).
constexpr std::uint32_t kFruitlessLinks = 3;
// On a path as short as this, the least patience is enough for any queue, and a relay's round trip
// could not be told from the peer's.
constexpr Duration kShortWay = std::chrono::milliseconds(10);
// Acknowledgements take 20 ms by design. What is owed for longer than this, and than two round
// trips, when the network changes was probably lost on the old path.
constexpr Duration kLeastOverdue = std::chrono::milliseconds(100);

}  // namespace

TimePoint Liveness::ask_at(const BackedPipe& pipe) const {
  const TimePoint received = *pipe.last_received_at();
  const Duration soon = std::min(options_.ping, std::min(patience(pipe), options_.suspect) / 3);
  const bool more_is_due = pipe.received_data_last() || !pipe.answered();
  const TimePoint idle = received + (more_is_due ? soon : options_.ping);
  if (const auto since = pipe.unanswered_since()) return std::min(idle, *since + soon);
  return idle;
}

// Precondition: a PING was asked for.
TimePoint Liveness::suspect_at(const BackedPipe& pipe, std::uint32_t fruitless) const {
  const TimePoint owed_since = *earlier(pipe.ping_asked_at(), pipe.unanswered_since());
  Duration patient = patience(pipe);
  for (; fruitless > kFruitlessLinks && patient < options_.dead; --fruitless)
    patient *= 2;
  return std::max({owed_since, *pipe.last_received_at(), pipe.tcp_answered_at()}) + patient;
}

Duration Liveness::patience(const BackedPipe& pipe) const {
  auto smoothed = pipe.round_trip();
  const Duration handshake = kAnswers * pipe.handshake();
  if (!smoothed) return std::max(options_.suspect, handshake);
  Duration least = *pipe.least_round_trip();
  // Bytes that came while a PING was unanswered show that the answer takes at least this long: a
  // queue has grown since the last measurement.
  if (const auto asked_at = pipe.ping_asked_at()) {
    const Duration so_far = *pipe.last_received_at() - *asked_at;
    least = std::max(least, so_far);
    smoothed = std::max(*smoothed, so_far);
  }
  // On a path with full buffers an answer takes seconds, and twice as long when one segment is
  // lost. The limit is for a round trip that was measured across an outage.
  const Duration slow = std::max(
      std::min<Duration>(kSlowRoundTrips * *smoothed, 2 * options_.suspect), 3 * least / 2);
  const Duration usual = std::clamp<Duration>(kTwoTimeouts + kRoundTrips * least,
                                              options_.suspect / 4, options_.suspect);
  return std::max(slow > options_.suspect ? slow : usual, handshake);
}

Liveness::Verdict Liveness::judge(const BackedPipe& pipe, TimePoint now,
                                  std::uint32_t fruitless) const {
  if (pipe.state() != PipeState::connected) return Verdict::alive;
  if (now >= *pipe.last_received_at() + options_.dead) return Verdict::dead;
  // A link is not suspected before it has been asked.
  if (!pipe.ping_asked_at()) return now >= ask_at(pipe) ? Verdict::ask : Verdict::alive;
  return now >= suspect_at(pipe, fruitless) ? Verdict::suspect : Verdict::alive;
}

std::optional<TimePoint> Liveness::deadline(const BackedPipe& pipe, TimePoint now,
                                            std::uint32_t fruitless) const {
  if (pipe.state() != PipeState::connected) return std::nullopt;
  const TimePoint dead = *pipe.last_received_at() + options_.dead;
  const TimePoint next = pipe.ping_asked_at() ? suspect_at(pipe, fruitless) : ask_at(pipe);
  return next > now ? std::min(next, dead) : dead;
}

bool Liveness::believes(const BackedPipe& pipe, const TcpAnswer& answer) {
  const auto least = pipe.least_round_trip();
  return least && *least >= kShortWay && answer.round_trip >= *least / 2;
}

Liveness::Doubt Liveness::doubt(const NetworkChange& change, const LinkFacts& link) {
  if (link.loopback || !change.any()) return Doubt::none;
  if (link.address_gone || change.resumed) return Doubt::distrust;
  const Duration overdue = std::max(kLeastOverdue, 2 * link.round_trip.value_or(Duration{}));
  return link.owed_for && *link.owed_for >= overdue ? Doubt::distrust : Doubt::ask;
}

LinkFacts Liveness::facts_of(const BackedPipe& pipe, TimePoint now) {
  LinkFacts facts;
  facts.round_trip = pipe.round_trip();
  auto since = earlier(pipe.unanswered_since(), pipe.ping_asked_at());
  // In the middle of what the peer was sending, the rest of it is owed.
  if (pipe.received_data_last()) since = earlier(since, pipe.last_received_at());
  if (since) facts.owed_for = now - *since;
  return facts;
}

}  // namespace backedpipe
