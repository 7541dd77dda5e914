// Fleet: 2 to 300 sessions of one client with one peer, on the same network: the peer is reachable,
// or its network is gone, its port closed, or everything silent. The gate, the race of the peer's
// addresses, and the sessions of both sides are the real ones; the network is a list of periods on
// a virtual clock. One seed decides everything.
//
// In parts: fleet.cpp (the plan and time), fleet_sessions.cpp, fleet_dials.cpp, fleet_rules.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checks.hpp"
#include "link.hpp"
#include "random.hpp"
#include "session/dial/endpoint_race.hpp"
#include "session/dial/peer_gate.hpp"
#include "session/handshake.hpp"
#include "session/pump/session_pump.hpp"

namespace backedpipe::sim {

class Fleet {
 public:
  // `trace`: where to report events; may be null.
  Fleet(std::uint64_t seed, std::ostream* trace);
  Fleet(const Fleet&) = delete;
  ~Fleet();

  // Throws Violation.
  void run();

 private:
  class FleetLink;

  enum class Weather : std::uint8_t {
    fine,
    gone,     // links break, dials fail at once
    refused,  // links break, dials are refused
    silent,   // nothing arrives; bytes on their way are late
  };
  static const char* name(Weather weather);
  struct Period {
    TimePoint from;
    TimePoint to;
    Weather weather = Weather::fine;
    bool kick = false;  // the system reports its end
  };

  struct Dial;
  using DialPointer = std::shared_ptr<Dial>;

  // A TCP connection that has carried a HELLO.
  struct Wire {
    std::uint64_t generation = 0;
    std::size_t endpoint = 0;
    bool open[2] = {true, true};
    bool mute = false;  // broken, and neither side will be told
    TimePoint last_arrival[2] = {};
    // The client's, until it has been welcomed or has given up.
    std::unique_ptr<ClientHandshake> handshake;
    DialPointer dial;
  };
  using WirePointer = std::shared_ptr<Wire>;

  struct Dial {
    Dial(TimePoint now, std::size_t owner, std::uint64_t its_generation)
        : race(RaceOptions{}, now, 0), member(owner), generation(its_generation) {}
    EndpointRace race;
    std::size_t member;
    std::uint64_t generation;
    std::optional<TimePoint> wakes_at;
    bool answered = false;
    bool over = false;
  };

  // One session: the client's end, the server's end, and the client's attempt at its next link.
  struct Member {
    SessionId id;
    std::unique_ptr<SessionPump> pump[2];
    std::unique_ptr<FleetLink> link[2];
    std::optional<TimePoint> wakes_at[2];
    std::optional<Reason> tombstone;
    std::optional<std::uint64_t> wanted;  // the generation of the wanted link
    DialPointer dial;
    TimePoint own_failure_at{};  // the latest
    bool leaves = false;         // its application has reset the connection
    bool over = false;
  };

  static std::unique_ptr<FleetLink> make_link(Fleet& fleet, std::size_t member, Side side,
                                              const WirePointer& wire);

  struct Memory {
    Memory() : arena(std::size_t{64} << 10), pool(arena, 4096) {}
    std::vector<std::byte> arena;
    std::vector<std::byte> scratch = std::vector<std::byte>(SessionPump::kLeastScratchBytes);
    SegmentPool pool;
    SessionPump::Memory of_pumps{pool, scratch};
  };

  // --- time
  void at(TimePoint when, std::function<void()> what);
  void after(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  Weather weather(std::size_t endpoint, TimePoint when) const;
  const Period* period(TimePoint when) const;

  // --- the plan
  void make_plan();
  void begin(const Period& period);
  void end(const Period& period);
  void kick();

  // --- sessions
  void open(std::size_t member);
  void leave(std::size_t member);
  void touch(std::size_t member);
  bool run(std::size_t member, Side side);
  void execute(std::size_t member, Side side, const SessionPump::Action& action);
  static bool has_expired(const Member& member, Side side, Reason reason);
  void carry(std::size_t member, Side side, const WirePointer& wire, std::vector<std::byte> bytes);
  void wake(std::size_t member, Side side, std::optional<TimePoint> due);
  WirePointer wire_of(const Member& member, Side side) const;
  void close(std::size_t member, Side side, bool tells);
  void lose(std::size_t member, Side side, const WirePointer& wire);
  void break_wire(std::size_t member);

  // --- the gate and its dials
  void run_gate();
  void step(const DialPointer& dial);
  void start(const DialPointer& dial, const EndpointRace::Start& racer);
  void won(const DialPointer& dial, std::size_t endpoint);
  void failed(const DialPointer& dial, const std::string& why);
  void withdraw(Member& member);
  void stop(const DialPointer& dial);
  void hear_hello(const DialPointer& dial, const Hello& hello, const WirePointer& wire);
  void hear_answer(std::size_t member, const WirePointer& wire, ConstBytes bytes);
  void welcomed(const DialPointer& dial, const Welcome& welcome, const WirePointer& wire,
                ConstBytes early);
  void refused(const DialPointer& dial, const Refused& refused);

  // --- rules
  void check_gate();
  void check_attached(TimePoint healed_at, bool also_own_failures);
  void check_wires();

  void say(const std::string& text);

  struct Event {
    TimePoint at;
    std::uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  std::ostream* trace_;
  Random random_;
  TimePoint start_;
  TimePoint now_;
  TimePoint ends_at_{};
  std::vector<Event> events_;  // a heap
  std::uint64_t events_so_far_ = 0;

  Duration latency_{};
  std::optional<std::size_t> last_good_;
  std::vector<Weather> endpoints_;  // the permanent weather of each
  std::vector<Period> periods_;
  unsigned overloaded_percent_ = 0;
  SessionOptions options_;
  Memory memory_[2];
  std::vector<Member> members_;

  PeerGate gate_;
  std::optional<TimePoint> gate_wakes_at_;
  std::size_t dialling_ = 0;
  std::size_t unanswered_ = 0;
  bool down_ = false;
  TimePoint down_since_{};
  std::uint64_t probes_ = 0;          // since the peer went down
  std::uint64_t probes_excused_ = 0;  // those that may have begun out of turn
};

}  // namespace backedpipe::sim
