#include "fleet.hpp"

#include <algorithm>
#include <ostream>
#include <utility>

#include "fleet_link.hpp"

namespace backedpipe::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMostMembers = 300;
constexpr std::uint64_t kMostEvents = 3'000'000;

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
      gate_(random_.next()) {
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
  // Long enough to detect a link that broke without either side being told.
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
  // A session waiting at the gate needs a try and its turn: at the pace of one try, or of the
  // backoff without a kick; and a slot may be held by a HELLO that gets no answer.
  const Duration down_for = down_ ? now_ - down_since_ : Duration{};
  const Duration pause = ended.kick || down_for < seconds(55) ? Duration(milliseconds(500))
                         : down_for < minutes(4)              ? Duration(seconds(2))
                                                              : Duration(seconds(10));
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
    SessionPump* client = members_[i].pump[0].get();
    if (client == nullptr || members_[i].over || !client->session().next_attempt()) continue;
    client->session().try_now(now_);
    touch(i);
  }
}

void Fleet::say(const std::string& text) {
  if (trace_ == nullptr) return;
  *trace_ << std::chrono::duration<double>(now_ - start_).count() << " s  " << text << " ("
          << dialling_ << " dialling, " << gate_.waiting() << " waiting)\n";
}

}  // namespace backedpipe::sim
