#include "world.hpp"

#include <algorithm>
#include <ostream>

#include "world_limits.hpp"

namespace backedpipe::sim {

World::World(std::uint64_t seed, std::ostream* trace)
    : trace_(trace),
      random_(seed),
      plan_(make_plan(random_, seed)),
      start_(TimePoint(std::chrono::hours(1))),
      now_(start_),
      waits_last_(random_.chance(50)),
      second_began_(start_) {
  client_memory_ = make_memory(Side::client);
  server_memory_ = make_memory(Side::server);
  registry_ = std::make_unique<SessionRegistry>(plan_.registry);
  applications_.push_back(std::make_unique<Application>(Side::client, plan_.client_script, random_,
                                                        now_, points(Side::client)));
  client_.side = Side::client;
  client_.application = applications_.back().get();
  Session::Identity identity{.id = {}, .role = Role::client, .service = kService};
  for (auto& byte : identity.id.bytes)
    byte = static_cast<std::uint8_t>(random_.next());
  client_.pump = make_pump(identity, *client_memory_, plan_.client);
}

World::~World() {
  client_memory_->ledger.freeze();
  server_memory_->ledger.freeze();
}

void World::say(const std::string& text) {
  if (trace_ == nullptr) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now_ - start_).count();
  *trace_ << micros / 1'000'000 << '.' << std::to_string(1'000'000 + micros % 1'000'000).substr(1)
          << "  " << text << '\n';
}

// Runs `work`, in which a daemon may be killed. Returns what it returns; true after a kill.
template <typename Work>
bool World::as_long_as_it_lives(const Work& work) {
  std::optional<Side> killed;
  try {
    return work();
  } catch (const Killed& at) {
    killed = at.side;
  }
  // The next process may be killed while it restores the sessions.
  while (killed) {
    try {
      kill(*killed);
      killed.reset();
    } catch (const Killed& at) {
      killed = at.side;
    }
  }
  return true;
}

// --- time

void World::run() {
  if (trace_ != nullptr) {
    if (plan_.swallows_over) {
      say("plan: the path swallows what is larger than " + std::to_string(*plan_.swallows_over));
    }
    for (const Fault& fault : plan_.faults) {
      say(std::string("plan: ") + name(fault.kind) + " at " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(fault.at).count()) +
          " ms");
    }
  }
  connect_application(client_);
  client_.session().start(now_);
  run(client_);
  std::optional<TimePoint> client_gone_at;
  while (true) {
    step();
    if (client_ended_ && !client_gone_at) client_gone_at = now_;
    if (client_ended_ && sessions_.empty() && accepted_.empty()) break;

    const auto next = next_event();
    require(next.has_value(), "nobody waits for nothing", "no event will ever come");
    check_bounds(*next, client_gone_at);
    now_ = *next;
  }
  check_remains();
}

World::Tally World::tally() const {
  Tally tally{.steps = steps_,
              .links = wires_,
              .takeovers = takeovers_,
              .candidates_dropped = candidates_dropped_,
              .kills = kills_,
              .parkings = parkings_,
              .bytes = 0,
              .clean = client_ended_ == Reason::closed,
              .reusable = reusable_};
  for (const auto& application : applications_)
    tally.bytes += application->taken();
  return tally;
}

std::optional<TimePoint> World::next_event() {
  std::optional<TimePoint> next;
  const auto consider = [&](std::optional<TimePoint> when) { next = earlier(next, when); };
  const auto consider_wire = [&](const WirePointer& wire) {
    if (wire) consider(wire->link.next_event(now_));
  };
  const auto consider_end = [&](const End& end) {
    consider(end.waits.timer);
    consider(end.connects_at);
    consider(end.target_refuses_at);
    if (end.pump->application_open()) consider(end.application->next_event());
    if (end.link) consider_wire(end.link->wire_pointer());
  };
  if (asleep(Side::client)) {
    consider(asleep_until_[0]);
  } else {
    if (!client_ended_) consider_end(client_);
    if (attempt_) {
      consider(attempt_->gives_up_at);
      consider(attempt_->refused_at);
      if (!attempt_->wire) consider(attempt_->connects_at);
      consider_wire(attempt_->wire);
    }
  }
  if (asleep(Side::server)) {
    consider(asleep_until_[1]);
  } else {
    for (const auto& end : sessions_)
      consider_end(*end);
    for (const auto& accepted : accepted_) {
      if (parks(Side::server)) break;
      consider(accepted->gives_up_at);
      consider_wire(accepted->wire);
    }
  }
  if (next_fault_ < plan_.faults.size()) consider(at(plan_.faults[next_fault_].at));
  if (next_kill_ < plan_.kills.size()) consider(at(plan_.kills[next_kill_].at));
  for (const auto& parked : parking_) {
    if (parked) consider(parked->until);
  }
  if (!healed_) consider(at(plan_.healed_at));
  for (const auto& closing : {plan_.client_closed_at, plan_.server_closed_at}) {
    if (closing && at(*closing) > now_) consider(at(*closing));
  }
  return next;
}

void World::step() {
  if (now_ - second_began_ >= std::chrono::seconds(1)) {
    second_began_ = now_;
    steps_in_second_ = dials_in_second_ = 0;
  }
  require(++steps_in_second_ <= kMostStepsPerSecond, "no action loops", "too many steps a second");
  ++steps_;
  as_long_as_it_lives([this] {
    apply_due_faults();
    return true;
  });
  const std::size_t tombstones = registry_->tombstone_count();
  registry_->tick(now_);
  if (registry_->tombstone_count() < tombstones) the_server_has_forgotten_ = true;
  unsigned rounds = 0;
  while (as_long_as_it_lives([this] { return turn(); })) {
    require(++rounds <= kMostRoundsPerStep, "no action loops", "a moment without end");
  }
  check_everything();
}

// One turn of both daemons' event loops. True if there may be more to do at this time.
bool World::turn() {
  bool progress = false;
  const auto turn_client = [&] {
    if (asleep(Side::client)) return;
    if (!client_ended_ && turn(client_)) progress = true;
    if (attempt_ && pump_attempt()) progress = true;
  };
  const auto turn_server = [&] {
    if (asleep(Side::server)) return;
    for (std::size_t i = 0; i < accepted_.size() && !parks(Side::server); ++i) {
      if (pump_accepted(*accepted_[i])) progress = true;
    }
    std::erase_if(accepted_, [](const auto& accepted) { return accepted->over; });
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (turn(*sessions_[i])) progress = true;
    }
    std::erase_if(sessions_, [](const auto& end) { return end->over; });
  };
  if (random_.chance(50)) {
    turn_client();
    turn_server();
  } else {
    turn_server();
    turn_client();
  }
  return progress;
}

}  // namespace backedpipe::sim
