// World: faults, and events that come late.
#include <algorithm>
#include <utility>

#include <boost/system/errc.hpp>

#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {

void World::apply_due_faults() {
  while (next_fault_ < plan_.faults.size() && now_ >= at(plan_.faults[next_fault_].at)) {
    apply(plan_.faults[next_fault_++]);
  }
  while (next_kill_ < plan_.kills.size() && now_ >= at(plan_.kills[next_kill_].at)) {
    const Plan::Kill& kill = plan_.kills[next_kill_++];
    say(std::string("fault: ") + name(kill.side) + (kill.parks ? " parks, and" : "") +
        " is killed after " + std::to_string(kill.points) + " points");
    points(kill.side).arm(kill.points);
    if (kill.parks) park(kill.side, *kill.parks);
    if (kill.points == 0) points(kill.side).pass();
  }
  for (const Side side : {Side::client, Side::server}) {
    if (!parks(side) || now_ < parking(side)->until) continue;
    points(side).arm(0);
    points(side).pass();
  }
  if (plan_.client_closed_at && now_ >= at(*plan_.client_closed_at)) {
    plan_.client_closed_at.reset();
    if (!client_ended_) {
      say("client: closed by its operator");
      an_operator_has_closed_ = true;
      wake(Side::client);
      client_.session().reset(Reason::closed_by_operator);
      run(client_);
    }
  }
  if (plan_.server_closed_at && now_ >= at(*plan_.server_closed_at)) {
    plan_.server_closed_at.reset();
    for (const auto& end : sessions_) {
      say("server: closed by its operator");
      an_operator_has_closed_ = true;
      wake(Side::server);
      end->session().reset(Reason::closed_by_operator);
      run(*end);
    }
    std::erase_if(sessions_, [](const auto& end) { return end->over; });
  }
  if (!healed_ && now_ >= at(plan_.healed_at)) heal();
}

void World::heal() {
  say("healed");
  healed_ = true;
  blackhole_until_ = dials_refused_until_ = dials_hang_until_ = refuses_for_now_until_ = now_;
  next_link_fault_.reset();
  next_hello_late_.reset();
  for (KillPoints& points : points_)
    points.disarm();
  wake(Side::client);
  wake(Side::server);
  client_.application->hurry();
  for (const auto& end : sessions_)
    end->application->hurry();
}

Notice World::notice_of(const Fault& fault) const {
  Notice notice;
  if (fault.client_notices_after) notice.client = now_ + *fault.client_notices_after;
  if (fault.server_notices_after) notice.server = now_ + *fault.server_notices_after;
  return notice;
}

void World::apply(const Fault& fault) {
  say(std::string("fault: ") + name(fault.kind));
  const auto wire_of = [](const End& end) {
    return end.link ? end.link->wire_pointer() : WirePointer();
  };
  const WirePointer client_wire = wire_of(client_);
  const WirePointer server_wire = sessions_.empty() ? WirePointer() : wire_of(*sessions_.back());
  WirePointer live = client_wire;
  if (!live && attempt_) live = attempt_->wire;
  if (!live) live = server_wire;
  const TimePoint until = now_ + fault.lasts;
  switch (fault.kind) {
    case Fault::Kind::cut:
      if (live) live->link.cut(notice_of(fault), now_);
      break;
    case Fault::Kind::cut_after_bytes:
      if (live) {
        live->link.cut_after(
            fault.side, {fault.number, fault.client_notices_after, fault.server_notices_after});
      } else {
        next_link_fault_ = fault;
      }
      break;
    case Fault::Kind::freeze:
      if (!live) break;
      for (const Side side : {Side::client, Side::server}) {
        if (!fault.both && side != fault.side) continue;
        live->link.freeze(side, now_, random_.chance(70) ? until : now_ + kForGood);
      }
      break;
    case Fault::Kind::blackhole:
      blackhole_until_ = std::max(blackhole_until_, until);
      for (const WirePointer& wire :
           {client_wire, attempt_ ? attempt_->wire : WirePointer(), server_wire}) {
        if (!wire) continue;
        // Some connections are forgotten by a NAT or firewall on the path, and stay silent.
        const TimePoint back = random_.chance(70) ? until : now_ + kForGood;
        wire->link.freeze(Side::client, now_, back);
        wire->link.freeze(Side::server, now_, back);
      }
      if (attempt_ && !attempt_->wire) attempt_->connects_at.reset();
      break;
    case Fault::Kind::refuse_dials:
      dials_refused_until_ = std::max(dials_refused_until_, until);
      break;
    case Fault::Kind::hang_dials:
      dials_hang_until_ = std::max(dials_hang_until_, until);
      break;
    case Fault::Kind::forced_reconnect: {
      if (client_ended_) break;
      wake(Side::client);
      Session& session = client_.session();
      if (session.parked()) break;
      std::optional<std::uint64_t> forced;
      for (std::uint64_t i = 0; i < fault.number; ++i) {
        if (session.over()) break;
        require(session.reconnect(now_), "reconnects when asked", "it does not");
        if (!forced) forced = session.pipe().generation();
        require(session.pipe().generation() == *forced, "one attempt at a time",
                "several were forced");
      }
      run(client_);
      break;
    }
    case Fault::Kind::distrust:
      if (client_ended_) break;
      wake(Side::client);
      client_.pump->distrust(now_);
      run(client_);
      break;
    case Fault::Kind::late_hello:
      next_hello_late_ = fault.lasts;
      break;
    case Fault::Kind::lose_welcome:
      next_link_fault_ = fault;
      next_link_fault_->side = Side::server;
      next_link_fault_->number = fault.number % 120;
      break;
    case Fault::Kind::sleep: {
      TimePoint& asleep_until = asleep_until_[static_cast<std::size_t>(fault.side)];
      asleep_until = std::max(asleep_until, until);
      break;
    }
    case Fault::Kind::refuse_for_now:
      refuses_for_now_until_ = std::max(refuses_for_now_until_, until);
      break;
    case Fault::Kind::restart_client:
      restart_client();
      break;
    case Fault::Kind::restart_server:
    case Fault::Kind::restart_server_forgetful:
      restart_server(fault.kind == Fault::Kind::restart_server);
      break;
  }
}

// The session continues in another process, with new memory.
void World::restart(End& end, Memory& memory, const SessionOptions& options) {
  const std::vector<std::byte> state = end.session().snapshot();
  auto restored = make_pump({.id = end.session().id(), .role = end.session().role(), .service = {}},
                            memory, options);
  require(restored->session().restore(state).has_value(), "snapshots are restored", "it was not");
  require(restored->session().snapshot() == state, "snapshots are restored",
          "another state came back");
  drop_link(end);
  const bool connected = end.pump->application_open();
  memory_of(end).ledger.freeze();
  end.pump = std::move(restored);
  end.wanted = {};
  end.waits = {};
  if (connected) {
    connect_application(end);
    require(end.connected, "snapshots are restored", "it takes its application for done");
  }
  end.due = true;
}

void World::restart_client() {
  if (client_ended_) return;
  points(Side::client).disarm();
  parking(Side::client).reset();
  wake(Side::client);
  run(client_);
  if (client_ended_) return;
  auto memory = make_memory(Side::client);
  if (attempt_) abandon_attempt();
  restart(client_, *memory, plan_.client);
  client_memory_ = std::move(memory);
  segment_limit_ = {};
  client_.session().start(now_);
  run(client_);
}

void World::restart_server(bool with_snapshot) {
  points(Side::server).disarm();
  parking(Side::server).reset();
  wake(Side::server);
  for (const auto& end : sessions_)
    run(*end);
  std::erase_if(sessions_, [](const auto& end) { return end->over; });
  for (const auto& accepted : accepted_)
    accepted->wire->link.close(Side::server, now_);
  accepted_.clear();
  // Tombstones are not part of the snapshot.
  if (registry_->tombstone_count() > 0) the_server_has_forgotten_ = true;
  auto memory = make_memory(Side::server);
  registry_ = std::make_unique<SessionRegistry>(plan_.registry);
  for (const auto& end : sessions_) {
    if (with_snapshot) {
      restart(*end, *memory, plan_.server);
      end->was_detached = true;
      registry_->add(end->session().id(), kIdentity, end->session().service(), now_);
    } else {
      the_server_has_forgotten_ = true;
      drop_link(*end);
      end->application->lose();
    }
  }
  if (!with_snapshot) sessions_.clear();
  server_memory_ = std::move(memory);
}

// Late reports from the network layer about a link or an attempt that is gone.
void World::call_late(End& end) {
  Session& session = end.session();
  if (session.over() || random_.chance(70)) return;
  const std::uint64_t current = session.pipe().generation();
  const bool dead = session.pipe().state() == PipeState::disconnected;
  if (current == 0 || (current == 1 && !dead)) return;
  const std::uint64_t generation = random_.between(1, dead ? current : current - 1);
  const auto state = session.snapshot();
  const auto deadline = session.deadline(now_);
  std::array<std::byte, 40> junk;
  for (std::byte& byte : junk)
    byte = static_cast<std::byte>(random_.next());
  end.pump->link_ready(generation, SessionPump::Direction::read);
  end.pump->link_ready(generation, SessionPump::Direction::write);
  session.receive(generation, junk, now_);
  session.sent(generation, random_.between(1, 100));
  session.link_lost({LinkError::Component::writer, generation,
                     make_error_code(boost::system::errc::connection_reset)},
                    now_);
  if (session.role() == Role::client) {
    session.attempt_failed(generation, true, now_);
    session.refused(generation, Reason::unknown_session, now_);
    require(!dead || !session.begin_handshake(generation, now_, nullptr), "late events do no harm",
            "a HELLO for one");
    const Welcome welcome{.session = session.id(), .generation = generation, .position = {}};
    require(!session.welcomed(welcome, now_), "late events do no harm", "a WELCOME for one");
  }
  require(session.snapshot() == state && session.deadline(now_) == deadline && !session.over() &&
              !session.next_action() && session.pipe().generation() == current,
          "late events do no harm", "one changed something");
}

}  // namespace backedpipe::sim
