// RoundTrips: how long an answer of the peer takes, measured with PING and PONG. At most one PING
// is owed a PONG at a time. A lost link takes its PING with it; what was measured stays until the
// next link's first measurement replaces it, because another link may be another path.
//
//   idle ── ask() ──▶ asked ── ping_sent() ──▶ sent ── pong_received() ──▶ idle
//
// Part of a BackedPipe, on its worker's thread; no I/O, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "pipe/time.hpp"

namespace backedpipe {

struct RoundTrip {
  Duration usual{};  // smoothed, including time spent in queues
  Duration least{};  // of the last minutes: the path without queues
};

class RoundTrips {
 public:
  // Asks for a PONG, unless one is already owed.
  void ask(TimePoint now);
  // Data flows in either direction: asks if the latest measurement is old or unusual.
  void data_flows(TimePoint now);
  // A link has completed its handshake. `handshake` is how long the peer took to answer, if known:
  // a first measurement. Without a usable one this asks.
  void attached(std::optional<Duration> handshake, TimePoint now);
  void link_lost();

  bool ping_due() const { return asked_at_ && !sent_at_; }
  // The PING that is due has been put into a frame; returns its token.
  std::uint64_t ping_sent(TimePoint now);
  // Only the answer to the latest PING counts, and gives true.
  bool pong_received(std::uint64_t token, TimePoint now);

  // Since when a PONG is owed, also if the PING has not been sent yet.
  std::optional<TimePoint> asked_at() const { return asked_at_; }
  std::optional<Duration> smoothed() const { return smoothed_; }
  // How long the current link's handshake took to be answered, until a measurement on that link
  // says more; zero if unknown.
  Duration handshake() const { return handshake_; }
  // The least of the latest three measurements, of which the handshake is the first: a single one
  // may include an outage.
  std::optional<Duration> least_of_latest() const;
  // What the receive window goes by.
  std::optional<RoundTrip> path() const;

 private:
  void measured(Duration sample, TimePoint now);

  Duration handshake_{};
  std::uint64_t token_ = 0;  // never repeats within a session, so a late PONG is recognised
  std::optional<TimePoint> asked_at_;
  std::optional<TimePoint> sent_at_;
  std::optional<TimePoint> measured_at_;  // over the current link
  std::optional<Duration> smoothed_;
  // The rest is meaningful once smoothed_ is set.
  std::array<Duration, 3> latest_{};
  TimePoint least_since_{};
  Duration least_{};         // since then
  Duration least_before_{};  // in the period before that
  bool unusual_ = false;     // the latest measurement is to be repeated once data flows
};

}  // namespace backedpipe
