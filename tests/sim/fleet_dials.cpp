// Fleet: the gate, and the dials that it permits.
#include <algorithm>
#include <utility>

#include "fleet.hpp"
#include "fleet_link.hpp"

namespace backedpipe::sim {

using std::chrono::microseconds;
using std::chrono::seconds;

void Fleet::run_gate() {
  while (const auto action = gate_.next_action(now_)) {
    const auto found = std::find_if(members_.begin(), members_.end(), [&](const Member& member) {
      return member.id == action->session;
    });
    if (action->kind == PeerGate::Action::Kind::cancel) {
      if (found->dial) stop(found->dial);
      continue;
    }
    require(found->wanted.has_value(), "only who wants a link dials", "");
    require(!found->dial, "a session dials once at a time", "");
    if (gate_.state() == PeerGate::State::down) ++probes_;
    found->dial = std::make_shared<Dial>(now_, static_cast<std::size_t>(found - members_.begin()),
                                         *found->wanted);
    for (std::size_t i = 0; i < endpoints_.size(); ++i)
      found->dial->race.add(i % 2 == 0 ? AddressFamily::ipv6 : AddressFamily::ipv4,
                            i == last_good_ ? 0 : i + 1);
    ++dialling_;
    ++unanswered_;
    step(found->dial);
  }
  const bool down = gate_.state() == PeerGate::State::down;
  if (down != std::exchange(down_, down)) {
    say(down ? "the peer is down: " + gate_.last_error() : "the peer is up");
    down_since_ = now_;
    probes_ = 0;
    probes_excused_ = 0;
  }
  const auto due = gate_.deadline();
  if (!due || due == gate_wakes_at_) return;
  gate_wakes_at_ = due;
  at(*due, [this, due] {
    if (gate_wakes_at_ == due) gate_wakes_at_.reset();
    run_gate();
  });
}

void Fleet::step(const DialPointer& dial) {
  if (dial->over || dial->answered) return;
  while (const auto racer = dial->race.next(now_))
    start(dial, *racer);
  if (dial->race.lost(now_)) {
    // Later, because this runs within the gate's own loop.
    return after(Duration{}, [this, dial] { failed(dial, "every address failed"); });
  }
  if (dial->race.struggles(now_)) {
    gate_.struggling(members_[dial->member].id, "silence", now_);
    run_gate();
    if (dial->over) return;
  }
  const TimePoint due = dial->race.deadline();
  if (dial->wakes_at && *dial->wakes_at <= due && *dial->wakes_at > now_) return;
  dial->wakes_at = due;
  at(due, [this, dial] { step(dial); });
}

void Fleet::start(const DialPointer& dial, const EndpointRace::Start& racer) {
  const std::size_t endpoint = racer.address;
  const auto fails_after = [&](Duration delay) {
    after(delay, [this, dial, racer] {
      if (dial->over || dial->answered) return;
      dial->race.failed(racer.racer, EndpointRace::Failure::soft, now_);
      step(dial);
    });
  };
  switch (weather(endpoint, now_)) {
    case Weather::gone:
      return fails_after(microseconds(10));
    case Weather::refused:
      return fails_after(2 * latency_);
    case Weather::silent:
      return;
    case Weather::fine:
      break;
  }
  after(2 * latency_, [this, dial, racer, endpoint] {
    if (dial->over || dial->answered || weather(endpoint, now_) != Weather::fine) return;
    dial->race.connected(racer.racer, now_);
    after(2 * latency_, [this, dial, endpoint] {
      if (weather(endpoint, now_) == Weather::fine) won(dial, endpoint);
    });
    step(dial);
  });
}

void Fleet::won(const DialPointer& dial, std::size_t endpoint) {
  if (dial->over || dial->answered) return;
  dial->answered = true;
  --unanswered_;
  Member& member = members_[dial->member];
  gate_.answered(member.id, now_);
  run_gate();
  const auto hello = member.pump[0]->begin_handshake(dial->generation, now_);
  touch(dial->member);
  if (!hello) {
    withdraw(member);
    run_gate();
    return touch(dial->member);
  }
  const auto wire = std::make_shared<Wire>();
  wire->generation = dial->generation;
  wire->endpoint = endpoint;
  last_good_ = endpoint;
  after(latency_, [this, dial, hello = *hello, wire] {
    if (weather(wire->endpoint, now_) == Weather::fine) hear_hello(dial, hello, wire);
  });
  // Four times what the handshake took, as in LinkDialer.
  after(std::max<Duration>(16 * latency_, seconds(1)),
        [this, dial] { failed(dial, "no answer to HELLO"); });
}

void Fleet::failed(const DialPointer& dial, const std::string& why) {
  if (dial->over) return;
  Member& member = members_[dial->member];
  stop(dial);
  if (!gate_.failed(member.id, why, now_)) {
    const std::uint64_t generation = *member.wanted;
    member.wanted.reset();
    member.own_failure_at = now_;
    run_gate();
    member.pump[0]->session().attempt_failed(generation, false, now_);
    return touch(dial->member);
  }
  require(!dial->answered, "no generation says HELLO twice", why);
  run_gate();
}

void Fleet::withdraw(Member& member) {
  if (!member.wanted) return;
  if (member.dial) {
    if (!member.dial->answered) ++probes_excused_;
    stop(member.dial);
  }
  member.wanted.reset();
  if (member.pump[0]->session().link_healthy()) gate_.alive(now_);
  gate_.withdraw(member.id);
}

void Fleet::stop(const DialPointer& dial) {
  dial->over = true;
  --dialling_;
  if (!dial->answered) --unanswered_;
  members_[dial->member].dial.reset();
}

void Fleet::hear_hello(const DialPointer& dial, const Hello& hello, const WirePointer& wire) {
  const std::size_t number = dial->member;
  Member& member = members_[number];
  const auto reply = [&](const Refused& message) {
    after(latency_, [this, dial, message, wire] {
      if (weather(wire->endpoint, now_) == Weather::fine) refused(dial, message);
    });
  };
  // Refusals stop with the last period: after it the rules require that all sessions are back.
  const bool busy = now_ < periods_.back().to && random_.chance(overloaded_percent_);
  if (busy) return reply(Refused{Reason::overloaded, {}});
  const bool anew = hello.open && member.tombstone == Reason::expired;
  if (member.tombstone && !anew) return reply(Refused{*member.tombstone, {}});
  if (!member.pump[1]) {
    if (!hello.open) return reply(Refused{Reason::unknown_session, {}});
    member.tombstone.reset();
    member.pump[1] = std::make_unique<SessionPump>(
        Session::Identity{.id = member.id, .role = Role::server, .service = hello.service},
        memory_[1].of_pumps, options_, random_.next(), now_);
  }
  auto link = make_link(*this, number, Side::server, wire);
  const auto attached = member.pump[1]->attach(*link, hello, hello.open, {}, now_);
  if (!attached) {
    reply(Refused{reason_of(attached.error()).value_or(Reason::protocol_error), {}});
    return touch(number);
  }
  close(number, Side::server, true);
  member.link[1] = std::move(link);
  wire->handshake = std::make_unique<ClientHandshake>(hello);
  wire->dial = dial;
  touch(number);
}

// The WELCOME, in one piece or in several, and perhaps the first frames.
void Fleet::hear_answer(std::size_t number, const WirePointer& wire, ConstBytes bytes) {
  if (wire->mute) return;
  require(wire->handshake->receive(bytes).has_value(), "handshakes are understood",
          "session " + std::to_string(number));
  if (!wire->handshake->complete()) return;
  const auto handshake = std::exchange(wire->handshake, nullptr);
  const DialPointer dial = std::exchange(wire->dial, nullptr);
  // The client may have closed it meanwhile.
  if (dial->over) return lose(number, Side::server, wire);
  welcomed(dial, *handshake->welcome(), wire, bytes);
}

void Fleet::welcomed(const DialPointer& dial, const Welcome& welcome, const WirePointer& wire,
                     ConstBytes early) {
  const std::size_t number = dial->member;
  Member& member = members_[number];
  withdraw(member);
  run_gate();
  auto link = make_link(*this, number, Side::client, wire);
  if (member.pump[0]->welcomed(*link, welcome, early, now_)) {
    member.link[0] = std::move(link);
  }
  touch(number);
}

void Fleet::refused(const DialPointer& dial, const Refused& refused) {
  if (dial->over) return;
  Member& member = members_[dial->member];
  withdraw(member);
  run_gate();
  member.own_failure_at = now_;
  member.pump[0]->session().refused(dial->generation, refused.reason, now_);
  touch(dial->member);
}

}  // namespace backedpipe::sim
