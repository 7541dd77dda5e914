// EndpointRace decides which addresses of a peer one attempt dials, and when. The addresses start
// one after the other, with alternating families (RFC 8305, Happy Eyeballs), and the first to get
// through wins. A silent address is dialled again each `pace`, beside its older tries: TCP repeats
// a lost SYN after 1, 3 and 7 s only, which is too slow after an outage. Owned by one attempt. It
// knows addresses by number only; time is an argument.
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

// The delay between the first tries of two addresses, when the latest winner needed `took` in all:
// an address that is much slower is probably dead. At least 100 ms (RFC 8305 section 5).
Duration stagger_after(std::optional<Duration> took);

struct RaceOptions {
  Duration stagger = kRaceStagger;
  // How long the known addresses wait for names without an answer (RFC 8305 section 3).
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
    soft,      // may succeed in a moment
    hard,      // this address is of no use to this attempt
    rejected,  // as hard: one side does not accept the other's identity
  };
  struct Start {
    RacerId racer = 0;
    AddressId address = 0;
    std::optional<RacerId> instead_of;  // stop this one: it is out of the race
  };

  // `unresolved`: how many names have no answer yet.
  EndpointRace(const RaceOptions& options, TimePoint now, std::size_t unresolved);

  // Lower ranks go first; of equal ranks, the address that was added first.
  AddressId add(AddressFamily family, std::size_t rank);
  // The name no longer has this address: it is not tried again, but a try under way may still win.
  // readmit() undoes this.
  void withdraw(AddressId address) { addresses_[address].withdrawn = true; }
  void readmit(AddressId address) { addresses_[address].withdrawn = false; }
  // One more name has had its first answer, successful or not.
  void resolved();

  // All names have an answer, or the time for them has passed: the first address may start.
  bool open(TimePoint now) const { return now >= opens_at(); }
  // The next try to begin now; call until it returns nothing.
  std::optional<Start> next(TimePoint now);
  // The peer's kernel has accepted the connection: its daemon gets time to answer as well.
  void connected(RacerId racer, TimePoint now);
  void failed(RacerId racer, Failure failure, TimePoint now);

  // When to call next(), struggles() and lost() again.
  TimePoint deadline() const;
  // True once, when a second has passed or all addresses have failed, and the race goes on.
  bool struggles(TimePoint now);
  // No try can win any more: the time is over, every address has failed hard, or all have failed at
  // once, as they do without a network.
  bool lost(TimePoint now) const;
  bool timed_out(TimePoint now) const { return now >= started_ + options_.limit; }
  // A try was rejected.
  bool rejected() const { return rejected_; }

 private:
  struct Address {
    AddressFamily family = AddressFamily::ipv4;
    std::size_t rank = 0;
    bool withdrawn = false;
    bool tried = false;
    bool useless = false;  // failed hard
    bool waited = false;   // one of its tries has failed, but not at once
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
