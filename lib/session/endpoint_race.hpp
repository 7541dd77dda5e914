// EndpointRace decides whom one attempt at a peer dials, and when. Its addresses start one after
// the other, families alternating (RFC 8305, Happy Eyeballs), and whoever dials for it, the first
// to get through wins. An address that stays silent is tried afresh each `pace` beside its older
// tries: TCP repeats a lost SYN after 1, 3 and 7 s only, and after an outage nobody should wait for
// that. Owned by one attempt; time is an argument, and what an address is, it does not know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pipe/time.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

inline constexpr Duration kRacePace = std::chrono::milliseconds(500);

enum class AddressFamily : std::uint8_t { ipv4, ipv6, local };

inline constexpr Duration kRaceStagger = std::chrono::milliseconds(250);

// Between the first tries of two addresses where the latest winner needed `took` in all: whoever is
// slower than it by far is probably dead, but an address has 100 ms in any case; RFC 8305
// section 5.
Duration stagger_after(std::optional<Duration> took);

struct RaceOptions {
  Duration stagger = kRaceStagger;
  // How long names that have no answer yet hold up the addresses that are known; section 3.
  Duration resolution_delay = std::chrono::milliseconds(50);
  // Between two tries of one address; without it each is tried once.
  std::optional<Duration> pace = kRacePace;
  Duration limit = kHandshakeTimeout;
  // At least 2: the oldest try, for a path that is merely slow, and the latest.
  std::size_t tries_per_address = 3;
};

class EndpointRace {
 public:
  using AddressId = std::size_t;  // counted from 0 in the order of add()
  using RacerId = std::uint64_t;  // one try of one address

  enum class Failure : std::uint8_t {
    soft,      // may be different in a moment
    hard,      // this address is of no use to this attempt
    rejected,  // the same: one side does not accept the other's identity
  };
  struct Start {
    RacerId racer = 0;
    AddressId address = 0;
    std::optional<RacerId> instead_of;  // has had its time; it is out of the race
  };

  // `unresolved`: names of whose addresses nothing is known yet.
  EndpointRace(const RaceOptions& options, TimePoint now, std::size_t unresolved);

  // Lower ranks go first; among equals, who was added first.
  AddressId add(AddressFamily family, std::size_t rank);
  // The name has other addresses now: not tried any more, though tries under way may win. And back.
  void withdraw(AddressId address) { addresses_[address].withdrawn = true; }
  void readmit(AddressId address) { addresses_[address].withdrawn = false; }
  // One more name has had its first answer, whatever it was.
  void resolved();

  // The time for names has passed, or all have been answered: the first address may start.
  bool open(TimePoint now) const { return now >= opens_at(); }
  // The next try to begin now; call until there is none.
  std::optional<Start> next(TimePoint now);
  // The other side's kernel has answered: its daemon gets time to do so as well.
  void connected(RacerId racer, TimePoint now);
  void failed(RacerId racer, Failure failure, TimePoint now);

  // When to call next() and the two below again.
  TimePoint deadline() const;
  // True once: a second has passed, or all addresses have failed, and the race goes on.
  bool struggles(TimePoint now);
  // Nothing more can come of it: the time is over, every address has failed hard, or all have
  // failed the moment they were tried, as when there is no network.
  bool lost(TimePoint now) const;
  bool timed_out(TimePoint now) const { return now >= started_ + options_.limit; }
  // Somebody was rejected.
  bool rejected() const { return rejected_; }

 private:
  struct Address {
    AddressFamily family = AddressFamily::ipv4;
    std::size_t rank = 0;
    bool withdrawn = false;
    bool tried = false;
    bool useless = false;  // failed hard
    bool waited = false;   // one of its tries has failed, and not the moment it was begun
    TimePoint last_start{};
    TimePoint next_try{};
  };
  struct Racer {
    RacerId id = 0;
    AddressId address = 0;
    TimePoint started{};
  };

  TimePoint opens_at() const;
  bool untried(const Address& address) const;
  bool repeatable(const Address& address) const;
  bool exhausted() const;
  std::optional<AddressId> next_untried() const;
  std::optional<AddressId> next_repeated(TimePoint now) const;
  Start begin(AddressId address, TimePoint now);

  RaceOptions options_;
  TimePoint started_;
  std::size_t unresolved_;
  std::vector<Address> addresses_;
  std::vector<Racer> racers_;  // under way, oldest first
  RacerId next_racer_ = 1;
  RacerId last_fresh_ = 0;  // the latest first try of an address
  std::optional<AddressFamily> last_family_;
  TimePoint next_fresh_;
  bool opened_ = false;
  bool rejected_ = false;
  bool struggled_ = false;
};

}  // namespace backedpipe
