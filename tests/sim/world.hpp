// World: a client and a server daemon without their operating system, the applications behind them
// and the network between them, on a virtual clock that jumps to the next event. Does what the
// network layer does: dials, accepts, moves bytes, executes actions. One seed decides everything.
#pragma once

#include <array>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "application.hpp"
#include "checks.hpp"
#include "link.hpp"
#include "plan.hpp"
#include "random.hpp"
#include "session/handshake.hpp"
#include "session/registry.hpp"
#include "session/session.hpp"

namespace backedpipe::sim {

class World {
 public:
  // `trace`: where to tell what happens; may be null.
  World(std::uint64_t seed, std::ostream* trace);
  ~World();

  // Until everything has come to its end. Throws Violation.
  void run();

  // What a run has covered.
  struct Tally {
    std::uint64_t steps = 0;
    std::uint64_t links = 0;
    std::uint64_t takeovers = 0;           // by a candidate
    std::uint64_t candidates_dropped = 0;  // because the link was alive after all
    std::uint64_t bytes = 0;               // delivered, both ways
    bool clean = false;
    bool reusable = false;  // and its link was good for another session
  };
  Tally tally() const;

 private:
  // A TCP connection and what is known about the handshake it carried.
  struct Wire {
    Wire(const LinkOptions& options, Random& random, unsigned wire_number)
        : link(options, random), number(wire_number) {}
    Link link;
    unsigned number;
    std::array<WireTap, 2> taps;                    // of what each side puts on it
    std::array<std::vector<std::byte>, 2> offered;  // and could not be written
    Application* server_application = nullptr;
    bool reusable_for_server = false;
  };
  using WirePointer = std::shared_ptr<Wire>;

  // One daemon's end of a session.
  struct End {
    Side side = Side::client;
    std::unique_ptr<Session> session;
    Application* application = nullptr;
    WirePointer wire;
    std::uint64_t wire_generation = 0;
    std::vector<std::byte> preamble;  // the WELCOME, until it has been written
    std::optional<TimePoint> target_refuses_at;
    bool was_detached = true;  // as the registry knows it
    bool heard = false;        // something has come over a link
    bool over = false;
    std::uint64_t attached_generation = 0;
  };

  struct Memory {
    explicit Memory(std::size_t bytes, std::size_t segment_bytes)
        : arena(bytes), pool(arena, segment_bytes) {}
    std::vector<std::byte> arena;
    SegmentPool pool;
  };

  // The client's way to its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    TimePoint gives_up_at{};
    std::optional<TimePoint> refused_at;
    std::optional<TimePoint> connects_at;
    WirePointer wire;
    std::unique_ptr<ClientHandshake> handshake;
  };

  // A connection that has not said which session it is for, or is being refused.
  struct Accepted {
    WirePointer wire;
    ServerHandshake handshake;
    TimePoint gives_up_at{};
    bool refused = false;
    bool over = false;
  };

  // --- time
  std::optional<TimePoint> next_event();
  void step();
  void tick_all();
  void tick(End& end);
  void ask_tcp(End& end);
  void check_everything();

  // --- moving bytes
  bool pump();
  bool pump_end(End& end);
  bool execute_actions(End& end);
  bool read_link(End& end);
  bool write_link(End& end);
  void drop_wire(End& end);
  void check_reuse(const End& end);

  // --- dialling and accepting
  void dial(std::uint64_t generation);
  void drop_candidate();
  void abandon_attempt();
  bool pump_attempt();
  void connect_attempt();
  bool pump_accepted(Accepted& accepted);
  void answer(Accepted& accepted);
  void refuse(Accepted& accepted, Reason reason);
  End* open_session(const Hello& hello);
  End* find_session(const SessionId& id);

  // --- the end of a session
  void on_ended(End& end, Reason reason);
  void check_reason(const End& end, Reason reason) const;
  bool transfer_complete() const;

  // --- faults
  void apply_due_faults();
  void apply(const Fault& fault);
  void heal();
  void restart(End& end, Memory& memory, const SessionOptions& options);
  void restart_client();
  void restart_server(bool with_snapshot);
  void call_late(End& end);
  Notice notice_of(const Fault& fault) const;

  void say(const std::string& text);
  TimePoint at(Duration since_start) const { return start_ + since_start; }

  std::ostream* trace_;
  Random random_;
  Plan plan_;
  TimePoint start_;
  TimePoint now_;

  std::unique_ptr<Memory> client_memory_;
  std::unique_ptr<Memory> server_memory_;
  std::vector<std::unique_ptr<Application>> applications_;  // all there ever were
  End client_;
  std::optional<Attempt> attempt_;
  std::unique_ptr<SessionRegistry> registry_;
  std::vector<std::unique_ptr<End>> sessions_;  // the server's
  std::vector<std::unique_ptr<Accepted>> accepted_;
  unsigned wires_ = 0;
  unsigned takeovers_ = 0;
  unsigned candidates_dropped_ = 0;
  bool reusable_ = false;

  std::size_t next_fault_ = 0;
  bool healed_ = false;
  TimePoint blackhole_until_{};
  TimePoint dials_refused_until_{};
  TimePoint dials_hang_until_{};
  TimePoint refuses_for_now_until_{};
  std::optional<Fault> next_link_fault_;  // cut_after_bytes or lose_welcome
  std::optional<Duration> next_hello_late_;

  // What excuses an end that is not clean.
  bool an_application_has_reset_ = false;
  bool an_operator_has_closed_ = false;
  bool the_server_has_forgotten_ = false;  // a session or a tombstone
  bool the_target_has_refused_ = false;
  std::optional<Reason> client_ended_;

  TimePoint second_began_{};
  std::uint64_t steps_ = 0;
  unsigned steps_in_second_ = 0;
  unsigned dials_in_second_ = 0;
};

}  // namespace backedpipe::sim
