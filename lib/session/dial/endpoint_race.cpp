#include "session/dial/endpoint_race.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// After this long without a winner, the race reports that it struggles.
constexpr Duration kStrugglesAfter = std::chrono::seconds(1);
// Once connected, a try has this long to finish, or several times what connecting took if that is
// more.
constexpr Duration kPatience = std::chrono::seconds(1);
constexpr int kPatienceFactor = 4;
constexpr Duration kLeastStagger = std::chrono::milliseconds(100);

}  // namespace

Duration stagger_after(std::optional<Duration> took) {
  return std::clamp(took.value_or(kRaceStagger), kLeastStagger, kRaceStagger);
}

EndpointRace::EndpointRace(const RaceOptions& options, TimePoint now, std::size_t unresolved)
    : options_(options), started_(now), unresolved_(unresolved), next_fresh_(now) {}

EndpointRace::AddressId EndpointRace::add(AddressFamily family, std::size_t rank) {
  Address& address = addresses_.emplace_back();
  address.family = family;
  address.rank = rank;
  return addresses_.size() - 1;
}

void EndpointRace::resolved() {
  if (unresolved_ > 0) --unresolved_;
}

std::optional<EndpointRace::Start> EndpointRace::next(TimePoint now) {
  if (!open(now) || timed_out(now)) return {};
  opened_ = true;
  if (now >= next_fresh_) {
    if (const auto address = next_untried()) {
      const Start start = begin(*address, now);
      last_fresh_ = start.racer;
      last_family_ = addresses_[*address].family;
      next_fresh_ = now + options_.stagger;
      return start;
    }
  }
  if (const auto address = next_repeated(now)) return begin(*address, now);
  return {};
}

EndpointRace::Start EndpointRace::begin(AddressId id, TimePoint now) {
  Address& address = addresses_[id];
  address.tried = true;
  address.last_start = now;
  address.next_try = now + options_.pace.value_or(options_.limit);
  Start start{.racer = next_racer_++, .address = id, .instead_of = {}};
  const auto of_address = [id](const Racer& racer) { return racer.address == id; };
  const auto tries = std::count_if(racers_.begin(), racers_.end(), of_address);
  if (static_cast<std::size_t>(tries) >= options_.tries_per_address) {
    // The oldest stays: on a slow path it is the one that succeeds.
    const auto oldest = std::find_if(racers_.begin(), racers_.end(), of_address);
    const auto second = std::find_if(std::next(oldest), racers_.end(), of_address);
    start.instead_of = second->id;
    racers_.erase(second);
  }
  racers_.push_back({.id = start.racer, .address = id, .started = now});
  return start;
}

void EndpointRace::connected(RacerId racer, TimePoint now) {
  const auto found = std::find_if(racers_.begin(), racers_.end(),
                                  [racer](const Racer& each) { return each.id == racer; });
  if (found == racers_.end()) return;
  Address& address = addresses_[found->address];
  const Duration patience = std::max<Duration>(kPatience, kPatienceFactor * (now - found->started));
  address.next_try = std::max(address.next_try, now + patience);
}

void EndpointRace::failed(RacerId racer, Failure failure, TimePoint now) {
  const auto found = std::find_if(racers_.begin(), racers_.end(),
                                  [racer](const Racer& each) { return each.id == racer; });
  if (found == racers_.end()) return;
  Address& address = addresses_[found->address];
  const bool at_once = now - found->started < options_.stagger;
  racers_.erase(found);
  if (failure == Failure::soft) {
    address.waited |= !at_once;
    address.next_try = std::max(now, address.last_start + options_.pace.value_or(options_.limit));
  } else {
    address.useless = true;
    rejected_ |= failure == Failure::rejected;
  }
  if (racer == last_fresh_ || racers_.empty()) next_fresh_ = now;
}

TimePoint EndpointRace::deadline() const {
  const TimePoint opens = opens_at();
  TimePoint at = started_ + options_.limit;
  if (!opened_) at = std::min(at, opens);
  if (!struggled_) at = std::min(at, started_ + kStrugglesAfter);
  for (const Address& address : addresses_) {
    if (untried(address)) at = std::min(at, std::max(opens, next_fresh_));
    if (repeatable(address)) at = std::min(at, std::max(opens, address.next_try));
  }
  return at;
}

bool EndpointRace::struggles(TimePoint now) {
  if (struggled_ || lost(now)) return false;
  struggled_ = now >= started_ + kStrugglesAfter || (!addresses_.empty() && exhausted());
  return struggled_;
}

bool EndpointRace::lost(TimePoint now) const {
  if (timed_out(now)) return true;
  if (unresolved_ > 0 || !exhausted()) return false;
  return std::none_of(addresses_.begin(), addresses_.end(), [this](const Address& address) {
    return repeatable(address) && address.waited;
  });
}

// While a name has no answer, its addresses may be the ones to begin with.
TimePoint EndpointRace::opens_at() const {
  return unresolved_ == 0 ? started_ : started_ + options_.resolution_delay;
}

bool EndpointRace::untried(const Address& address) const {
  return !address.tried && !address.withdrawn;
}

bool EndpointRace::repeatable(const Address& address) const {
  return options_.pace && address.tried && !address.withdrawn && !address.useless;
}

// No try is under way, and every address has been tried.
bool EndpointRace::exhausted() const {
  return racers_.empty() &&
         std::none_of(addresses_.begin(), addresses_.end(),
                      [this](const Address& address) { return untried(address); });
}

// The best address of the family whose turn it is, or of any family if that has none; RFC 8305
// section 4.
std::optional<EndpointRace::AddressId> EndpointRace::next_untried() const {
  std::optional<AddressId> best;
  const auto goes_before = [this](AddressId one, AddressId other) {
    const bool one_turn = addresses_[one].family != last_family_;
    const bool other_turn = addresses_[other].family != last_family_;
    if (one_turn != other_turn) return one_turn;
    return addresses_[one].rank < addresses_[other].rank;
  };
  for (AddressId id = 0; id < addresses_.size(); ++id) {
    if (untried(addresses_[id]) && (!best || goes_before(id, *best))) best = id;
  }
  return best;
}

std::optional<EndpointRace::AddressId> EndpointRace::next_repeated(TimePoint now) const {
  std::optional<AddressId> best;
  for (AddressId id = 0; id < addresses_.size(); ++id) {
    const Address& address = addresses_[id];
    if (!repeatable(address) || now < address.next_try) continue;
    if (!best || address.next_try < addresses_[*best].next_try) best = id;
  }
  return best;
}

}  // namespace backedpipe
