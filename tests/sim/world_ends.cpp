// World: what a SessionDriver does for a pump. It reports what the pump waits for, keeps one timer,
// and executes actions.
#include <algorithm>
#include <utility>

#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {
namespace {

using Direction = SessionPump::Direction;

}  // namespace

std::unique_ptr<SessionPump> World::make_pump(Session::Identity identity, Memory& memory,
                                              const SessionOptions& options) {
  LedgerEntry entry(
      memory.ledger,
      {.id = identity.id,
       .role = static_cast<std::uint32_t>(identity.role),
       .detached_since = static_cast<std::uint64_t>(now_.time_since_epoch().count())});
  return std::make_unique<SessionPump>(std::move(identity), memory.of_pumps, options,
                                       random_.next(), now_, std::move(entry));
}

std::unique_ptr<World::Memory> World::make_memory(Side side) {
  return std::make_unique<Memory>(
      side == Side::client ? plan_.client_arena_bytes : plan_.server_arena_bytes,
      plan_.segment_bytes, points(side));
}

// The system's counts of an application's connection begin at 0.
void World::record_connection(Side side, SessionPump& pump) const {
  pump.session().ledger().connected({.uncounted = plan_.uncounted == side});
}

// True if there may be more to do at this time.
bool World::turn(End& end) {
  if (end.pump->application_open()) {
    end.application->act(end.session().pipe().state() == PipeState::connected);
    if (end.application->has_reset()) an_application_has_reset_ = true;
  }
  if (end.target_refuses_at && now_ >= *end.target_refuses_at) {
    end.target_refuses_at.reset();
    the_target_has_refused_ = true;
    say("server: the target refuses");
    end.session().reset(Reason::target_refused);
    end.due = true;
  }
  if (end.connects_at && now_ >= *end.connects_at) connect_application(end);
  if (random_.chance(5)) report_stale(end);
  const bool more = report(end);
  if (!end.due) return more;
  run(end);
  wake_waiters(memory_of(end));
  return true;
}

// Tells the pump what it waits for, and only that. True if an event was left for another turn: an
// event loop may deliver the events of one moment in any order.
bool World::report(End& end) {
  SessionPump& pump = *end.pump;
  Waits& waits = end.waits;
  bool left = false;
  const auto look = [&](bool& waiting, auto is_ready, auto tell) {
    if (!waiting || !is_ready()) return;
    if (random_.chance(20)) {
      left = true;
      return;
    }
    waiting = false;
    tell();
    end.due = true;
  };
  // Sometimes without a cause, as the kernel may.
  const auto or_spurious = [&](bool ready) { return ready || random_.chance(1); };

  if (pump.application_open()) {
    Application& application = *end.application;
    look(
        waits.application_read, [&] { return or_spurious(application.readable()); },
        [&] {
          application.readiness().read = true;
          pump.application_ready(Direction::read);
        });
    look(
        waits.application_write, [&] { return or_spurious(application.writable()); },
        [&] {
          application.readiness().write = true;
          pump.application_ready(Direction::write);
        });
    look(
        waits.application_error, [&] { return application.broken(); },
        [&] {
          application.readiness().read = true;
          pump.application_broken();
        });
  }
  if (end.link) {
    SimLink& link = *end.link;
    look(
        waits.link_read, [&] { return or_spurious(link.readable()); },
        [&] {
          link.readiness().read = true;
          pump.link_ready(end.link_generation, Direction::read);
        });
    look(
        waits.link_write, [&] { return or_spurious(link.writable()); },
        [&] {
          link.readiness().write = true;
          pump.link_ready(end.link_generation, Direction::write);
        });
  }
  if (waits.timer && now_ >= *waits.timer) {
    waits.timer.reset();
    look_at_link(end);
    end.due = true;
  }
  return left;
}

// Reports the link as readable in any case, because the session is about to judge it.
void World::look_at_link(End& end) {
  if (!end.link) return;
  end.link->readiness().read = true;
  end.pump->link_ready(end.link_generation, Direction::read);
}

// Late events about a link that has been replaced.
void World::report_stale(End& end) {
  if (end.attached_generation <= 1) return;
  end.pump->link_ready(random_.between(1, end.attached_generation - 1),
                       random_.chance(50) ? Direction::read : Direction::write);
}

void World::connect_application(End& end) {
  end.connects_at.reset();
  record_connection(end.side, *end.pump);
  const bool expected = end.side == Side::client || random_.chance(50);
  end.application->readiness() = {.read = expected};
  end.connected =
      end.pump->connect_application(*end.application, expected ? SessionPump::FirstWord::expected
                                                               : SessionPump::FirstWord::unlikely);
  if (!end.connected && !end.application->gone()) end.application->reset();
  end.due = true;
}

// One call of pump(), and the actions after it.
void World::run(End& end) {
  if (end.over) return;
  end.due = false;
  const bool has_word = end.link && end.link->readiness().read && end.link->has_bytes() &&
                        !end.session().suspect() && !end.wanted.memory;
  end.wanted = end.pump->pump(now_);
  if (end.link && end.link->has_been_read()) end.heard = true;
  if (has_word) check_judgement(end);
  const std::uint64_t closed = end.closed_generation;
  std::vector<SessionPump::Action> actions;
  while (const auto action = end.pump->next_action())
    actions.push_back(*action);
  for (std::size_t i = 0; i < actions.size(); ++i) {
    require(!end.over, "the end is the last action", name(end.side));
    execute(end, std::span(actions).subspan(i));
  }
  require(end.over == end.pump->over(), "the end is told", name(end.side));
  if (end.over) return;
  if (end.wanted.again) end.due = true;
  require(!end.link || end.wanted.link_read || end.wanted.memory || end.wanted.again ||
              end.session().parked(),
          "a link is read as long as it is there", name(end.side));
  tell_registry(end);
  wait(end);
  if (end.closed_generation > closed) call_late(end);
}

void World::wait(End& end) {
  const SessionPump::Interests& wanted = end.wanted;
  Waits& waits = end.waits;
  const bool waits_for_memory = waits.memory;
  if (!waits_last_) waits = {};
  waits.memory = waits_for_memory;
  if (end.pump->application_open()) {
    waits.application_read |= wanted.application_read;
    waits.application_write |= wanted.application_write;
    // A wait for bytes reports an error as well.
    if (wanted.application_error && !waits.application_read) waits.application_error = true;
  } else {
    waits.application_read = waits.application_write = waits.application_error = false;
  }
  if (end.link) {
    waits.link_read |= wanted.link_read;
    waits.link_write |= wanted.link_write;
  }
  if (wanted.memory && !std::exchange(waits.memory, true)) {
    Memory& memory = memory_of(end);
    memory.inbound.when_freed([&memory] { memory.freed = true; });
    memory.outbound.when_freed([&memory] { memory.freed = true; });
  }
  waits.timer = earlier(waits.timer, wanted.until);
}

// Some memory is free again: wakes all pumps that wait for it.
void World::wake_waiters(Memory& memory) {
  if (!std::exchange(memory.freed, false)) return;
  const auto wake = [](End& end) {
    if (std::exchange(end.waits.memory, false)) end.due = true;
  };
  if (&memory == client_memory_.get()) return wake(client_);
  for (const auto& end : sessions_)
    wake(*end);
}

// Executes the first action; the others are for later.
void World::execute(End& end, std::span<const SessionPump::Action> actions) {
  const SessionPump::Action& action = actions.front();
  switch (action.kind) {
    case SessionPump::Action::Kind::connect: {
      const bool given_up = std::any_of(actions.begin(), actions.end(), [&](const auto& later) {
        return later.kind == SessionPump::Action::Kind::stop_attempt &&
               later.generation == action.generation;
      });
      require(given_up || !client_.link || client_.session().suspect(), "make before break",
              "a candidate beside a link that nobody suspects");
      return dial(action.generation);
    }
    case SessionPump::Action::Kind::stop_attempt:
      require(attempt_ && attempt_->generation == action.generation, "one attempt at a time",
              "one is given up that is not there");
      if (end.link) drop_candidate();
      return abandon_attempt();
    case SessionPump::Action::Kind::close_link:
      require(action.generation > end.closed_generation, "a link is let go of once",
              name(end.side));
      end.closed_generation = action.generation;
      // The link was replaced by a newer one and is closed already.
      if (!end.link || end.link_generation != action.generation) return;
      check_fate(end, action.fate);
      return drop_link(end);
    case SessionPump::Action::Kind::application_failed:
      require(end.application->has_reset() && end.application->was_told(),
              "an application fails only when it has reset", end.application->describe());
      return;
    case SessionPump::Action::Kind::application_reset:
      say(std::string(name(end.side)) +
          ": application told: " + std::string(backedpipe::name(action.reason)));
      require(!std::exchange(end.told, true), "an application is told once", name(end.side));
      check_reason(end, action.reason);
      if (!end.connected) end.application->lose();
      end.connects_at.reset();
      require(end.application->gone(), "no silent end", end.application->describe());
      return;
    case SessionPump::Action::Kind::ended:
      return on_ended(end, action.reason);
  }
}

void World::on_ended(End& end, Reason reason) {
  say(std::string(name(end.side)) + ": session ended: " + std::string(backedpipe::name(reason)));
  check_reason(end, reason);
  const Application& application = *end.application;
  if (reason == Reason::closed) {
    require(!application.was_told() && (!application.has_reset() || application.complete()),
            "ends only for a reason", "closed, yet its application was told");
  } else {
    require(application.gone() || application.complete(), "no silent end",
            std::string(name(end.side)) + "'s application was not told");
  }
  require(!end.link, "one link at a time", "the session has ended and its link is still there");
  if (end.side == Side::server) {
    if (reason == Reason::expired && !end.heard) an_unheard_session_has_expired_ = true;
    require(registry_->end(end.session().id(), reason, now_), "sessions are forgotten",
            "the registry did not know it");
  }
  // The last store of a session, after whatever must be known of its end.
  end.session().ledger().erase();
  end.waits = {};
  end.over = true;
  if (end.side == Side::client) {
    client_ended_ = reason;
    if (attempt_) abandon_attempt();
  }
}

void World::adopt(End& end, std::unique_ptr<SimLink> link, std::uint64_t generation) {
  end.link = std::move(link);
  end.link_generation = end.attached_generation = generation;
  end.waits.link_read = end.waits.link_write = false;
}

void World::drop_link(End& end) {
  if (!end.link) return;
  say(std::string(name(end.side)) + ": closes link " + std::to_string(end.link->wire().number));
  end.link->wire().link.close(end.side, now_);
  end.link.reset();
  end.waits.link_read = end.waits.link_write = false;
}

void World::tell_registry(End& end) {
  if (end.side == Side::client) return;
  const bool detached = end.session().pipe().state() != PipeState::connected;
  if (detached == std::exchange(end.was_detached, detached)) return;
  if (detached) {
    registry_->detached(end.session().id(), now_);
  } else {
    registry_->attached(end.session().id());
  }
}

}  // namespace backedpipe::sim
