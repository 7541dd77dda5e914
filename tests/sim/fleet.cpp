#include "fleet.hpp"

#include <algorithm>
#include <array>
#include <ostream>
#include <utility>

#include <boost/system/errc.hpp>

namespace backedpipe::sim {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMostMembers = 300;
constexpr std::uint64_t kMostEvents = 3'000'000;

std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}

SessionId session_id(Random& random) {
  SessionId id;
  for (auto& byte : id.bytes)
    byte = static_cast<std::uint8_t>(random.next());
  return id;
}

}  // namespace

const char* Fleet::name(Weather weather) {
  switch (weather) {
    case Weather::fine:
      return "fine";
    case Weather::gone:
      return "gone";
    case Weather::refused:
      return "refused";
    case Weather::silent:
      return "silent";
  }
  return "?";
}

Fleet::Fleet(std::uint64_t seed, std::ostream* trace)
    : trace_(trace),
      random_(seed),
      start_(TimePoint{} + seconds(1000)),
      now_(start_),
      gate_(BackoffOptions{}, random_.next()) {
  make_plan();
}

Fleet::~Fleet() = default;

void Fleet::make_plan() {
  latency_ = microseconds(random_.scale(100, 100'000));
  const std::size_t endpoints = random_.between(1, 3);
  for (std::size_t i = 0; i < endpoints; ++i) {
    const bool dead = i > 0 && random_.chance(50);
    endpoints_.push_back(!dead                ? Weather::fine
                         : random_.chance(50) ? Weather::silent
                                              : Weather::refused);
  }
  std::swap(endpoints_.front(), endpoints_[random_.between(0, endpoints - 1)]);
  overloaded_percent_ = random_.chance(20) ? 10 : 0;

  members_.resize(random_.scale(2, kMostMembers));
  for (std::size_t i = 0; i < members_.size(); ++i) {
    members_[i].id = session_id(random_);
    const bool late = random_.chance(10);
    at(start_ + (late ? random_.between(Duration{}, seconds(30)) : Duration{}),
       [this, i] { open(i); });
    if (random_.chance(10)) {
      at(start_ + random_.between(Duration{}, seconds(60)), [this, i] { leave(i); });
    }
    if (random_.chance(10)) {
      at(start_ + random_.between(Duration{}, seconds(60)), [this, i] { break_wire(i); });
    }
  }
  TimePoint when = start_;
  const std::uint64_t count = random_.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    Period next;
    next.weather = static_cast<Weather>(random_.between(1, 3));
    next.from = when + milliseconds(random_.scale(1, 20'000));
    const bool long_away = random_.chance(2);
    next.to = next.from + (long_away ? Duration(minutes(random_.between(5, 8)))
                                     : Duration(milliseconds(random_.scale(50, 60'000))));
    next.kick = random_.chance(50);
    when = next.to;
    periods_.push_back(next);
  }
  for (const Period& each : periods_) {
    at(each.from, [this, &each] { begin(each); });
    at(each.to, [this, &each] { end(each); });
    if (random_.chance(10)) {
      at(random_.chance(50) ? each.from + (each.to - each.from) / 2 : each.to - milliseconds(1),
         [this] { kick(); });
    }
  }
  // Long enough for a link that broke with nobody being told.
  ends_at_ = std::max(when, start_ + seconds(60)) + seconds(40);
}

// --- time

void Fleet::at(TimePoint when, std::function<void()> what) {
  events_.push_back({std::max(when, now_), events_so_far_++, std::move(what)});
  std::push_heap(events_.begin(), events_.end());
}

const Fleet::Period* Fleet::period(TimePoint when) const {
  for (const Period& each : periods_) {
    if (when >= each.from && when < each.to) return &each;
  }
  return nullptr;
}

Fleet::Weather Fleet::weather(std::size_t endpoint, TimePoint when) const {
  const Period* current = period(when);
  return current != nullptr ? current->weather : endpoints_[endpoint];
}

void Fleet::run() {
  std::uint64_t done = 0;
  while (!events_.empty() && events_.front().at < ends_at_) {
    std::pop_heap(events_.begin(), events_.end());
    const Event event = std::move(events_.back());
    events_.pop_back();
    now_ = event.at;
    event.run();
    check_gate();
    require(++done < kMostEvents, "the fleet comes to rest", "too much happens");
  }
  now_ = ends_at_;
  check_wires();
}

// --- the plan

void Fleet::begin(const Period& began) {
  say(std::string("the network is ") + name(began.weather));
  if (began.weather == Weather::silent) return;
  for (std::size_t i = 0; i < members_.size(); ++i)
    break_wire(i);
}

void Fleet::end(const Period& ended) {
  say("the network is back");
  if (ended.kick) kick();
  // Who waits at the gate needs a try and its turn: at the pace of one try, or of the backoff if
  // nobody tells, and a slot may be taken by a HELLO that nobody answers.
  const bool patient = down_ && now_ - down_since_ >= minutes(4);
  const Duration pause = ended.kick ? Duration(milliseconds(500)) : seconds(patient ? 10 : 2);
  const Duration turn = 8 * latency_;
  const auto rounds = static_cast<std::int64_t>(members_.size() / PeerGate::kMostDials + 2);
  const TimePoint healed_at = now_;
  const TimePoint due = now_ + pause + seconds(1) + turn * rounds;
  const TimePoint later = due + seconds(5) + turn * rounds;
  const auto calm = [this](TimePoint until) {
    return std::none_of(periods_.begin(), periods_.end(),
                        [&](const Period& each) { return each.from > now_ && each.from <= until; });
  };
  if (calm(due)) at(due, [this, healed_at] { check_attached(healed_at, false); });
  if (calm(later)) at(later, [this, healed_at] { check_attached(healed_at, true); });
}

void Fleet::kick() {
  say("kick");
  if (gate_.state() == PeerGate::State::down) probes_excused_ += 8;
  gate_.kick(now_);
  run_gate();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    Session* client = members_[i].session[0].get();
    if (client == nullptr || members_[i].over || !client->next_attempt()) continue;
    client->try_now(now_);
    touch(i);
  }
}

// --- sessions

void Fleet::open(std::size_t number) {
  Member& member = members_[number];
  member.session[0] = std::make_unique<Session>(
      Session::Identity{.id = member.id, .role = Role::client, .service = "echo"}, memory_[0].pool,
      options_, random_.next(), now_);
  member.session[0]->start(now_);
  touch(number);
}

void Fleet::leave(std::size_t number) {
  Member& member = members_[number];
  if (!member.session[0] || member.over) return;
  say("session " + std::to_string(number) + " leaves");
  member.leaves = true;
  member.session[0]->reset(Reason::application_reset);
  touch(number);
}

// Executes actions and moves bytes until nothing is left to do, then waits.
void Fleet::touch(std::size_t number) {
  bool more = true;
  while (more) {
    more = false;
    for (const Side side : {Side::client, Side::server}) {
      if (!members_[number].session[index(side)]) continue;
      more |= execute(number, side);
      if (!members_[number].session[index(side)]) continue;
      more |= send(number, side);
    }
  }
  wake(number, Side::client);
  wake(number, Side::server);
}

bool Fleet::execute(std::size_t number, Side side) {
  Member& member = members_[number];
  bool any = false;
  while (const auto action = member.session[index(side)]->next_action()) {
    any = true;
    switch (action->kind) {
      case Session::Action::Kind::connect:
        withdraw(member);
        member.wanted = action->generation;
        gate_.request(member.id);
        run_gate();
        break;
      case Session::Action::Kind::close_link:
        if (const WirePointer& wire = member.wire[index(side)];
            wire && wire->generation == action->generation) {
          close(number, side, true);
        }
        if (side == Side::client && member.wanted == action->generation) {
          withdraw(member);
          run_gate();
        }
        break;
      case Session::Action::Kind::reset_application:
        break;
      case Session::Action::Kind::ended:
        close(number, side, true);
        require(member.leaves, "a session ends by its application only",
                "session " + std::to_string(number) + " ended with " +
                    std::string(backedpipe::name(action->reason)));
        if (side == Side::server) {
          member.tombstone = action->reason;
          member.session[1].reset();
          return true;
        }
        withdraw(member);
        run_gate();
        member.over = true;
        return true;
    }
  }
  return any;
}

bool Fleet::send(std::size_t number, Side side) {
  Member& member = members_[number];
  Session& session = *member.session[index(side)];
  const WirePointer wire = member.wire[index(side)];
  if (!wire || session.ended()) return false;
  std::array<ConstBytes, 16> pieces;
  const std::size_t count = session.outgoing(now_, pieces);
  if (count == 0) return false;
  std::vector<std::byte> bytes;
  for (const ConstBytes piece : std::span(pieces).first(count))
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  session.sent(wire->generation, bytes.size());
  if (wire->mute) return true;
  TimePoint arrival = now_ + latency_;
  if (const Period* bad = period(now_); bad != nullptr && bad->weather == Weather::silent) {
    // TCP tries again at ever longer intervals.
    arrival = bad->to + random_.between(Duration{}, (bad->to - now_) / 2);
  }
  arrival = std::max(arrival, wire->last_arrival[index(side)]);
  wire->last_arrival[index(side)] = arrival;
  at(arrival, [this, number, side, wire, bytes = std::move(bytes)] {
    Member& receiver = members_[number];
    const Side there = other(side);
    if (wire->mute || !wire->open[index(there)] || receiver.wire[index(there)] != wire) return;
    receiver.session[index(there)]->receive(wire->generation, bytes, now_);
    touch(number);
  });
  return true;
}

void Fleet::wake(std::size_t number, Side side) {
  Member& member = members_[number];
  if (!member.session[index(side)] || (side == Side::client && member.over)) return;
  const auto due = member.session[index(side)]->deadline(now_);
  auto& wakes_at = member.wakes_at[index(side)];
  if (!due || (wakes_at && *wakes_at <= *due)) return;
  wakes_at = std::max(*due, now_);
  at(*due, [this, number, side, due = *wakes_at] {
    Member& sleeper = members_[number];
    if (sleeper.wakes_at[index(side)] != due) return;
    sleeper.wakes_at[index(side)].reset();
    if (!sleeper.session[index(side)] || (side == Side::client && sleeper.over)) return;
    sleeper.session[index(side)]->tick(now_);
    touch(number);
  });
}

void Fleet::close(std::size_t number, Side side, bool tells) {
  const WirePointer wire = std::exchange(members_[number].wire[index(side)], nullptr);
  if (!wire) return;
  wire->open[index(side)] = false;
  if (!tells || wire->mute) return;
  const Period* bad = period(now_);
  const TimePoint told = bad != nullptr ? bad->to + latency_ : now_ + latency_;
  at(std::max(told, wire->last_arrival[index(side)]),
     [this, number, side, wire] { lose(number, other(side), wire); });
}

void Fleet::lose(std::size_t number, Side side, const WirePointer& wire) {
  Member& member = members_[number];
  if (member.wire[index(side)] != wire) return;
  close(number, side, false);
  member.session[index(side)]->link_lost({LinkError::Component::reader, wire->generation,
                                          make_error_code(boost::system::errc::connection_reset)},
                                         now_);
  touch(number);
}

// Each side learns of it soon, or never.
void Fleet::break_wire(std::size_t number) {
  for (const Side side : {Side::client, Side::server}) {
    const WirePointer wire = members_[number].wire[index(side)];
    if (!wire) continue;
    wire->mute = true;
    if (random_.chance(10)) continue;
    after(random_.between(Duration{}, milliseconds(50)),
          [this, number, side, wire] { lose(number, side, wire); });
  }
}

// --- the gate and its dials

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
    // Not from within the gate's own loop.
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
  const auto hello = member.session[0]->hello(dial->generation, now_);
  if (!hello) {
    withdraw(member);
    run_gate();
    return touch(dial->member);
  }
  touch(dial->member);
  const auto wire = std::make_shared<Wire>();
  wire->generation = dial->generation;
  wire->endpoint = endpoint;
  last_good_ = endpoint;
  after(latency_, [this, dial, hello = *hello, wire] {
    if (weather(wire->endpoint, now_) == Weather::fine) hear_hello(dial, hello, wire);
  });
  // Four times what the handshake has taken, as LinkDialer does.
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
    member.session[0]->attempt_failed(generation, false, now_);
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
  if (member.session[0]->link_healthy()) gate_.alive(now_);
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
  const auto reply = [&](const HandshakeMessage& message) {
    after(latency_, [this, dial, message, wire] {
      if (weather(wire->endpoint, now_) == Weather::fine) answered(dial, message, wire);
    });
  };
  // Nobody is turned away for long: later the rules ask that all are back.
  const bool busy = now_ < periods_.back().to && random_.chance(overloaded_percent_);
  if (busy) return reply(Refused{Reason::overloaded, {}});
  if (member.tombstone) return reply(Refused{*member.tombstone, {}});
  if (!member.session[1]) {
    if (!hello.open) return reply(Refused{Reason::unknown_session, {}});
    member.session[1] = std::make_unique<Session>(
        Session::Identity{.id = member.id, .role = Role::server, .service = hello.service},
        memory_[1].pool, options_, random_.next(), now_);
  }
  const auto welcome = member.session[1]->attach(hello, hello.open, now_);
  if (!welcome) {
    reply(Refused{reason_of(welcome.error()).value_or(Reason::protocol_error), {}});
    return touch(number);
  }
  close(number, Side::server, true);
  member.wire[1] = wire;
  reply(*welcome);
  touch(number);
}

void Fleet::answered(const DialPointer& dial, const HandshakeMessage& answer,
                     const WirePointer& wire) {
  const std::size_t number = dial->member;
  Member& member = members_[number];
  if (dial->over) {
    // The client has closed it meanwhile.
    return lose(number, Side::server, wire);
  }
  withdraw(member);
  run_gate();
  if (const auto* refused = std::get_if<Refused>(&answer)) {
    member.own_failure_at = now_;
    member.session[0]->refused(dial->generation, refused->reason, now_);
  } else {
    member.session[0]->welcomed(std::get<Welcome>(answer), now_);
    if (member.session[0]->pipe().state() == PipeState::connected &&
        member.session[0]->pipe().generation() == dial->generation) {
      member.wire[0] = wire;
    }
  }
  touch(number);
}

// --- rules

void Fleet::check_gate() {
  require(gate_.dialling() == dialling_, "the gate knows what is under way",
          std::to_string(dialling_) + " dials");
  require(dialling_ <= PeerGate::kMostDials, "at most 64 dials", std::to_string(dialling_));
  if (gate_.state() != PeerGate::State::down) return;
  require(unanswered_ <= 1, "one probe while the peer is down", std::to_string(unanswered_));
  // The steps of the backoff at first, then one a second at most, and who was hurried.
  const auto whole = static_cast<std::uint64_t>(duration_cast<seconds>(now_ - down_since_).count());
  require(probes_ <= 8 + whole + 1 + probes_excused_, "probes keep their pace",
          std::to_string(probes_) + " in " + std::to_string(whole) + " s");
}

// `also_own_failures`: sessions whose own attempts have failed have their own backoff.
void Fleet::check_attached(TimePoint healed_at, bool also_own_failures) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    if (member.over || member.leaves || !member.session[0]) continue;
    if (!also_own_failures && member.own_failure_at + seconds(15) >= healed_at) continue;
    const bool recent = member.session[0]->detached_since() > healed_at;
    require(recent || member.session[0]->pipe().state() == PipeState::connected,
            "attached soon after the network is back", "session " + std::to_string(i));
  }
}

void Fleet::check_wires() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    const std::string who = "session " + std::to_string(i);
    if (member.leaves) {
      require(member.over, "who leaves is gone in the end", who);
      continue;
    }
    require(member.wire[0] && member.wire[0] == member.wire[1] && !member.wire[0]->mute,
            "every session has a working link in the end", who);
  }
}

void Fleet::say(const std::string& text) {
  if (trace_ == nullptr) return;
  *trace_ << std::chrono::duration<double>(now_ - start_).count() << " s  " << text << " ("
          << dialling_ << " dialling, " << gate_.waiting() << " waiting)\n";
}

}  // namespace backedpipe::sim
