#include "plan.hpp"

#include <algorithm>

namespace backedpipe::sim {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// What goes out together with a WELCOME is not larger.
constexpr std::size_t kLeastSwallowed = 256;
constexpr std::uint64_t kSeedOfKills = 0x6b696c6c;
constexpr std::uint64_t kSeedOfParkings = 0x7061726b;
constexpr unsigned kFaultKinds = static_cast<unsigned>(Fault::Kind::restart_server_forgetful) + 1;

Script make_script(Random& random, std::size_t window_bytes) {
  Script script;
  // Small windows need many round trips: limits the bytes so that the world stays cheap.
  const std::size_t most = std::min<std::size_t>(window_bytes * 120, 60'000);
  script.total_bytes = random.chance(10) ? 0 : random.between(1, random.scale(1 + most / 16, most));
  script.most_per_write = random.scale(1 + script.total_bytes / 64, 4096);
  script.write_gap =
      random.chance(40) ? Duration(0) : random.between(Duration(0), milliseconds(300));
  script.most_per_read = random.scale(1 + script.total_bytes / 64, 4096);
  script.read_gap =
      random.chance(60) ? Duration(0) : random.between(Duration(0), milliseconds(200));
  if (random.chance(50)) script.finish_delay = random.between(Duration(0), seconds(20));
  if (random.chance(25)) {
    script.stalls_at = random.between(Duration(0), seconds(5));
    script.stalls_for = random.between(milliseconds(1), seconds(40));
  }
  if (random.chance(8)) {
    script.resets_at = random.between(Duration(0), seconds(20));
    script.resets_when_detached = random.chance(50);
  }
  return script;
}

PipeOptions make_pipe(Random& random) {
  PipeOptions pipe;
  pipe.replay_buffer_bytes = random.between(1, random.scale(8, 8192));
  pipe.max_window_bytes = random.between(8, random.scale(32, 8192));
  pipe.initial_window_bytes = random.between(8, pipe.max_window_bytes);
  return pipe;
}

std::size_t make_arena(Random& random, const PipeOptions& pipe, std::size_t segment_bytes,
                       bool scarce) {
  // Enough for a second session: a server that forgot the first may have both.
  const std::size_t plenty =
      (pipe.replay_buffer_bytes + pipe.max_window_bytes) / segment_bytes * 4 + 16;
  return segment_bytes * (scarce ? random.between(4, plenty / 4) : plenty);
}

std::optional<Duration> make_notice(Random& random) {
  if (random.chance(10)) return std::nullopt;
  if (random.chance(60)) return random.between(Duration(0), milliseconds(100));
  return random.between(Duration(0), seconds(20));
}

Fault make_fault(Random& random, Duration until) {
  Fault fault;
  do {
    fault.kind = random.chance(40)
                     ? (random.chance(50) ? Fault::Kind::cut : Fault::Kind::cut_after_bytes)
                     : static_cast<Fault::Kind>(random.between(0, kFaultKinds - 1));
  } while (fault.kind == Fault::Kind::restart_server_forgetful && random.chance(70));
  // Half of the faults come early, while bytes are still under way.
  fault.at = random.chance(50) ? random.between(Duration(0), std::min<Duration>(until, seconds(2)))
                               : random.between(Duration(0), until);
  fault.lasts = random.chance(60) ? random.between(milliseconds(1), seconds(4))
                                  : random.between(milliseconds(1), seconds(40));
  fault.number = fault.kind == Fault::Kind::forced_reconnect
                     ? random.between(1, 3)
                     : random.between(0, random.scale(1, 4096));
  fault.side = random.chance(50) ? Side::client : Side::server;
  fault.both = random.chance(50);
  fault.client_notices_after = make_notice(random);
  fault.server_notices_after = make_notice(random);
  return fault;
}

void make_kills(Random& random, Plan& plan) {
  if (random.chance(60)) return;
  if (random.chance(15)) plan.uncounted = random.chance(50) ? Side::client : Side::server;
  for (std::uint64_t i = random.between(1, random.scale(1, 30)); i > 0; --i) {
    plan.kills.push_back({.at = random.chance(50) ? random.between(Duration(0), seconds(2))
                                                  : random.between(Duration(0), plan.healed_at),
                          .side = random.chance(50) ? Side::client : Side::server,
                          .points = random.between(0, random.scale(4, 400))});
  }
  std::sort(plan.kills.begin(), plan.kills.end(),
            [](const Plan::Kill& a, const Plan::Kill& b) { return a.at < b.at; });
}

void make_parkings(Random& random, Plan& plan) {
  for (Plan::Kill& kill : plan.kills) {
    if (random.chance(60)) continue;
    kill.parks = {.grace = random.between(seconds(1), minutes(2)),
                  .away = random.between(Duration(0), seconds(random.chance(80) ? 1 : 40))};
  }
}

}  // namespace

const char* name(Fault::Kind kind) {
  static constexpr const char* kNames[] = {"cut",
                                           "cut after bytes",
                                           "freeze",
                                           "blackhole",
                                           "refuse dials",
                                           "hang dials",
                                           "reconnect",
                                           "distrust",
                                           "late HELLO",
                                           "lose WELCOME",
                                           "sleep",
                                           "refuse for now",
                                           "restart client",
                                           "restart server",
                                           "restart server without its snapshot"};
  return kNames[static_cast<std::size_t>(kind)];
}

Plan make_plan(Random& random, std::uint64_t seed) {
  Plan plan;
  // From numbers of its own, so that every other world stays as it was.
  if (Random path(~seed); path.chance(8)) {
    plan.swallows_over = path.between(kLeastSwallowed, 4 * kLeastSwallowed);
  }
  plan.link.latency =
      random.chance(20) ? Duration(0) : random.between(microseconds(10), milliseconds(150));
  plan.link.bytes_per_second = random.between(2'000, random.scale(4'000, 10'000'000));
  // A buffer smaller than the path's capacity would limit the rate, too low for a handshake.
  plan.link.buffer_bytes =
      random.between(plan.link.latency < milliseconds(1) ? 1 : 512, random.scale(512, 8192));
  plan.link.blocked_percent = random.chance(50) ? 0 : static_cast<unsigned>(random.between(1, 40));

  plan.segment_bytes = std::size_t{16} << random.between(0, 4);
  plan.client.pipe = make_pipe(random);
  plan.server.pipe = make_pipe(random);
  // Sometimes there is less memory than the settings promise.
  const bool scarce = random.chance(20);
  plan.client_arena_bytes = make_arena(random, plan.client.pipe, plan.segment_bytes, scarce);
  plan.server_arena_bytes = make_arena(random, plan.server.pipe, plan.segment_bytes, scarce);
  const bool short_lived = random.chance(8);
  const Duration resume = short_lived ? random.between(seconds(5), minutes(1)) : hours(24);
  plan.client.resume_timeout = plan.server.resume_timeout = resume;
  plan.registry.max_sessions = 4;
  plan.registry.tombstone_time =
      random.chance(15) ? random.between(milliseconds(10), seconds(20)) : minutes(2);

  // The bytes under way are limited by the own replay buffer and by the peer's window.
  const auto under_way = [](const PipeOptions& from, const PipeOptions& to) {
    return std::min(from.replay_buffer_bytes, to.initial_window_bytes);
  };
  plan.client_script = make_script(random, under_way(plan.client.pipe, plan.server.pipe));
  plan.server_script = make_script(random, under_way(plan.server.pipe, plan.client.pipe));
  if (random.chance(40)) {
    (random.chance(50) ? plan.client_script : plan.server_script).finishes_last = true;
  }
  if (random.chance(6)) plan.client_closed_at = random.between(Duration(0), seconds(20));
  if (random.chance(6)) plan.server_closed_at = random.between(Duration(0), seconds(20));
  if (random.chance(4)) {
    plan.target = random.chance(50) ? Plan::Target::refuses_at_once : Plan::Target::refuses_later;
  }
  plan.target_takes = random.chance(50) ? Duration(0) : random.between(Duration(0), seconds(3));
  plan.server_script.starts_after = plan.target_takes;

  plan.healed_at = random.between(Duration(0), seconds(random.chance(70) ? 10 : 60));
  const std::uint64_t count = random.between(random.chance(80) ? 1 : 0, random.scale(3, 24));
  for (std::uint64_t i = 0; i < count; ++i) {
    plan.faults.push_back(make_fault(random, plan.healed_at));
    // Scarce memory does not suffice for the two sessions of a forgetful restart.
    if (scarce && plan.faults.back().kind == Fault::Kind::restart_server_forgetful) {
      plan.faults.back().kind = Fault::Kind::restart_server;
    }
  }
  std::sort(plan.faults.begin(), plan.faults.end(),
            [](const Fault& a, const Fault& b) { return a.at < b.at; });
  // As above: these numbers are not taken from those of the world.
  Random kills(seed ^ kSeedOfKills);
  make_kills(kills, plan);
  Random parkings(seed ^ kSeedOfParkings);
  make_parkings(parkings, plan);
  return plan;
}

}  // namespace backedpipe::sim
