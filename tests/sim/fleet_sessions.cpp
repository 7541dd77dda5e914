// Fleet: its sessions, the loop that runs their pumps, and their connections.
#include <algorithm>
#include <utility>

#include "fleet.hpp"
#include "fleet_link.hpp"

namespace backedpipe::sim {
namespace {

using Direction = SessionPump::Direction;

std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}

}  // namespace

std::unique_ptr<Fleet::FleetLink> Fleet::make_link(Fleet& fleet, std::size_t member, Side side,
                                                   const WirePointer& wire) {
  return std::make_unique<FleetLink>(fleet, member, side, wire);
}

Fleet::WirePointer Fleet::wire_of(const Member& member, Side side) const {
  const auto& link = member.link[index(side)];
  return link ? link->wire() : nullptr;
}

void Fleet::open(std::size_t number) {
  Member& member = members_[number];
  member.pump[0] = std::make_unique<SessionPump>(
      Session::Identity{.id = member.id, .role = Role::client, .service = "echo"},
      memory_[0].of_pumps, options_, random_.next(), now_);
  member.pump[0]->session().start(now_);
  touch(number);
}

void Fleet::leave(std::size_t number) {
  Member& member = members_[number];
  if (!member.pump[0] || member.over) return;
  say("session " + std::to_string(number) + " leaves");
  member.leaves = true;
  member.pump[0]->session().reset(Reason::application_reset);
  touch(number);
}

// Runs both pumps until nothing is left to do.
void Fleet::touch(std::size_t number) {
  bool more = true;
  while (more) {
    more = false;
    for (const Side side : {Side::client, Side::server})
      more |= run(number, side);
  }
}

// True if there is more to do.
bool Fleet::run(std::size_t number, Side side) {
  Member& member = members_[number];
  SessionPump* pump = member.pump[index(side)].get();
  if (pump == nullptr || pump->over()) return false;
  const SessionPump::Interests wanted = pump->pump(now_);
  bool any = false;
  while (pump != nullptr) {
    const auto action = pump->next_action();
    if (!action) break;
    any = true;
    execute(number, side, *action);
    pump = member.pump[index(side)].get();
  }
  if (pump == nullptr || pump->over()) return any;
  require(!wanted.link_write, "a fleet's links take everything", "one is waited for");
  require(wanted.link_read || !member.link[index(side)] || wanted.again,
          "a link is read as long as it is there", "session " + std::to_string(number));
  wake(number, side, wanted.until);
  return any || wanted.again;
}

void Fleet::execute(std::size_t number, Side side, const SessionPump::Action& action) {
  Member& member = members_[number];
  switch (action.kind) {
    case SessionPump::Action::Kind::connect:
      withdraw(member);
      member.wanted = action.generation;
      gate_.request(member.id);
      return run_gate();
    case SessionPump::Action::Kind::stop_attempt:
      if (member.wanted != action.generation) return;
      withdraw(member);
      return run_gate();
    case SessionPump::Action::Kind::close_link:
      if (const WirePointer wire = wire_of(member, side);
          wire && wire->generation == action.generation) {
        close(number, side, true);
      }
      return;
    case SessionPump::Action::Kind::application_failed:
    case SessionPump::Action::Kind::application_reset:
      return;
    case SessionPump::Action::Kind::ended:
      close(number, side, true);
      require(member.leaves || has_expired(member, side, action.reason),
              "a session ends by its application only",
              "session " + std::to_string(number) + " ended with " +
                  std::string(backedpipe::name(action.reason)));
      if (side == Side::server) {
        member.tombstone = action.reason;
        member.pump[1].reset();
        return;
      }
      withdraw(member);
      run_gate();
      member.over = true;
      return;
  }
}

// The network was gone for more than a minute before anything that the client sent after its first
// WELCOME could arrive. The client learns of it only if it has seen that WELCOME.
bool Fleet::has_expired(const Member& member, Side side, Reason reason) {
  if (reason != Reason::expired) return false;
  return side == Side::server ? !member.pump[1]->session().confirmed()
                              : member.tombstone == Reason::expired;
}

// What `side` has put on its connection.
void Fleet::carry(std::size_t number, Side side, const WirePointer& wire,
                  std::vector<std::byte> bytes) {
  if (wire->mute) return;
  TimePoint arrival = now_ + latency_;
  if (const Period* bad = period(now_); bad != nullptr && bad->weather == Weather::silent) {
    // TCP retransmits at ever longer intervals.
    arrival = bad->to + random_.between(Duration{}, (bad->to - now_) / 2);
  }
  arrival = std::max(arrival, wire->last_arrival[index(side)]);
  wire->last_arrival[index(side)] = arrival;
  at(arrival, [this, number, side, wire, bytes = std::move(bytes)] {
    Member& receiver = members_[number];
    const Side there = other(side);
    if (there == Side::client && wire->handshake) return hear_answer(number, wire, bytes);
    if (wire->mute || !wire->open[index(there)] || wire_of(receiver, there) != wire) return;
    receiver.link[index(there)]->arrived(bytes);
    receiver.pump[index(there)]->link_ready(wire->generation, Direction::read);
    touch(number);
  });
}

void Fleet::wake(std::size_t number, Side side, std::optional<TimePoint> due) {
  auto& wakes_at = members_[number].wakes_at[index(side)];
  if (!due || (wakes_at && *wakes_at <= *due)) return;
  wakes_at = std::max(*due, now_);
  at(*due, [this, number, side, due = *wakes_at] {
    Member& sleeper = members_[number];
    if (sleeper.wakes_at[index(side)] != due) return;
    sleeper.wakes_at[index(side)].reset();
    SessionPump* pump = sleeper.pump[index(side)].get();
    if (pump == nullptr || pump->over()) return;
    if (const WirePointer wire = wire_of(sleeper, side)) {
      pump->link_ready(wire->generation, Direction::read);
    }
    touch(number);
  });
}

void Fleet::close(std::size_t number, Side side, bool tells) {
  const WirePointer wire = wire_of(members_[number], side);
  if (!wire) return;
  members_[number].link[index(side)].reset();
  wire->open[index(side)] = false;
  if (!tells || wire->mute) return;
  const Period* bad = period(now_);
  const TimePoint told = bad != nullptr ? bad->to + latency_ : now_ + latency_;
  at(std::max(told, wire->last_arrival[index(side)]),
     [this, number, side, wire] { lose(number, other(side), wire); });
}

void Fleet::lose(std::size_t number, Side side, const WirePointer& wire) {
  Member& member = members_[number];
  if (wire_of(member, side) != wire) return;
  member.link[index(side)]->lose();
  member.pump[index(side)]->link_ready(wire->generation, Direction::read);
  touch(number);
}

// Each side learns of the break soon, or never.
void Fleet::break_wire(std::size_t number) {
  for (const Side side : {Side::client, Side::server}) {
    const WirePointer wire = wire_of(members_[number], side);
    if (!wire) continue;
    wire->mute = true;
    if (random_.chance(10)) continue;
    after(random_.between(Duration{}, std::chrono::milliseconds(50)),
          [this, number, side, wire] { lose(number, side, wire); });
  }
}

}  // namespace backedpipe::sim
