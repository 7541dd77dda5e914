// World: a client and a server daemon without an operating system, their applications, and the
// network between them, on a virtual clock that jumps to the next event. Each daemon's end of a
// session is a SessionPump, and the world does for it what a SessionDriver does: it waits for what
// the pump asks for, reports only that, and executes actions. It dials and accepts as the network
// layer does. One seed decides everything.
//
// In parts: world.cpp (time), world_ends.cpp (what runs a pump), world_dialling.cpp,
// world_accepting.cpp, world_faults.cpp, world_kills.cpp, world_rules.cpp.
#pragma once

#include <array>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "application.hpp"
#include "checks.hpp"
#include "kill_points.hpp"
#include "link.hpp"
#include "link_end.hpp"
#include "plan.hpp"
#include "random.hpp"
#include "session/accept/registry.hpp"
#include "session/dial/segment_limit.hpp"
#include "session/handshake.hpp"
#include "session/pump/session_pump.hpp"
#include "session/recover.hpp"

namespace backedpipe::sim {

class World {
 public:
  // `trace`: where to report events; may be null.
  World(std::uint64_t seed, std::ostream* trace);
  ~World();

  // Runs until every session has ended. Throws Violation.
  void run();

  // What a run has covered.
  struct Tally {
    std::uint64_t steps = 0;
    std::uint64_t links = 0;
    std::uint64_t takeovers = 0;           // by a candidate
    std::uint64_t candidates_dropped = 0;  // the link was alive after all
    std::uint64_t kills = 0;
    std::uint64_t parkings = 0;
    std::uint64_t bytes = 0;  // delivered, both ways
    bool clean = false;
    bool reusable = false;  // the link could carry another session
  };
  Tally tally() const;

 private:
  using WirePointer = std::shared_ptr<Wire>;

  // What an event loop waits for on behalf of one pump.
  struct Waits {
    bool application_read = false;
    bool application_write = false;
    bool application_error = false;
    bool link_read = false;
    bool link_write = false;
    bool memory = false;
    std::optional<TimePoint> timer;
  };

  // One daemon's end of a session.
  struct End {
    Side side = Side::client;
    std::unique_ptr<SessionPump> pump;
    Application* application = nullptr;
    std::optional<TimePoint> connects_at;  // when the target accepts, and is connected to the pump
    std::optional<TimePoint> target_refuses_at;
    std::unique_ptr<SimLink> link;
    std::uint64_t link_generation = 0;
    SessionPump::Interests wanted;
    Waits waits;
    bool connected = false;    // its application is or was connected
    bool due = false;          // pump() is to be called though nothing is reported
    bool was_detached = true;  // as the registry knows it
    bool heard = false;        // bytes have come over a link, or a HELLO that only resumes
    bool told = false;         // that its application has been reset
    bool over = false;
    std::uint64_t attached_generation = 0;
    std::uint64_t closed_generation = 0;

    Session& session() { return pump->session(); }
    const Session& session() const { return pump->session(); }
  };

  // Of one process. What is written through the ledger, and the outbound bytes, outlive it.
  struct Memory {
    Memory(std::size_t bytes, std::size_t segment_bytes, Ledger::Watch& watch)
        : budget(bytes / segment_bytes),
          inbound_arena(bytes),
          outbound_arena(bytes),
          links(bytes / segment_bytes),
          inbound(inbound_arena, budget, segment_bytes),
          outbound(outbound_arena, budget, segment_bytes) {
      ledger.watch(&watch);
    }
    LedgerView view() const {
      return {.records = records,
              .links = links,
              .arena = outbound_arena,
              .segment_bytes = outbound.segment_bytes()};
    }

    OwnBudget budget;
    std::vector<std::byte> inbound_arena;
    std::vector<std::byte> outbound_arena;
    std::vector<std::byte> scratch = std::vector<std::byte>(SessionPump::kLeastScratchBytes);
    std::vector<SegmentLink> links;
    std::vector<LedgerRecord> records = std::vector<LedgerRecord>(8);
    Ledger ledger{records, links};
    SegmentPool inbound;
    SegmentPool outbound;
    SessionPump::Memory of_pumps{{inbound, outbound}, scratch};
    bool freed = false;  // since a pump began to wait for memory
  };

  // The client's attempt at its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    std::optional<std::uint16_t> segment_limit;
    TimePoint gives_up_at{};
    std::optional<TimePoint> refused_at;
    std::optional<TimePoint> connects_at;
    WirePointer wire;
    std::unique_ptr<ClientHandshake> handshake;
  };

  // An accepted connection that has not said which session it is for, or is being refused.
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
  bool turn();
  bool asleep(Side side) const { return now_ < asleep_until_[static_cast<std::size_t>(side)]; }
  void wake(Side side) { asleep_until_[static_cast<std::size_t>(side)] = now_; }

  // --- what runs a pump
  std::unique_ptr<SessionPump> make_pump(Session::Identity identity, Memory& memory,
                                         const SessionOptions& options);
  Memory& memory_of(const End& end) {
    return end.side == Side::client ? *client_memory_ : *server_memory_;
  }
  bool turn(End& end);
  bool report(End& end);
  void look_at_link(End& end);
  void report_stale(End& end);
  void connect_application(End& end);
  std::unique_ptr<Memory> make_memory(Side side);
  KillPoints& points(Side side) { return points_[static_cast<std::size_t>(side)]; }
  End* new_server_end();
  void dial_target(End& end);
  void run(End& end);
  void wait(End& end);
  void wake_waiters(Memory& memory);
  void execute(End& end, std::span<const SessionPump::Action> actions);
  void on_ended(End& end, Reason reason);
  void adopt(End& end, std::unique_ptr<SimLink> link, std::uint64_t generation);
  void drop_link(End& end);
  void tell_registry(End& end);

  // --- dialling and accepting
  void dial(std::uint64_t generation);
  void drop_candidate();
  void abandon_attempt();
  bool pump_attempt();
  void connect_attempt();
  void take_link(const WirePointer& wire, const Welcome& welcome);
  bool pump_accepted(Accepted& accepted);
  void answer(Accepted& accepted);
  void refuse(Accepted& accepted, Reason reason);
  End* open_session(const Hello& hello);
  End* find_session(const SessionId& id);

  // --- rules
  void check_everything();
  void check_ledger(const End& end);
  std::size_t check_end(const End& end, const PipeOptions& options);
  void check_bounds(TimePoint next, std::optional<TimePoint> client_gone_at) const;
  void check_remains();
  void check_judgement(const End& end) const;
  void check_fate(End& end, SessionPump::LinkFate fate);
  void check_reason(const End& end, Reason reason);
  bool transfer_complete() const;

  // --- faults
  void apply_due_faults();
  void apply(const Fault& fault);
  void heal();
  void restart(End& end, Memory& memory, const SessionOptions& options);
  void restart_client();
  void restart_server(bool with_snapshot);
  template <typename Work>
  bool as_long_as_it_lives(const Work& work);
  void kill(Side side);
  // A daemon that is leaving its sessions to the next process.
  struct Parked {
    TimePoint until{};  // it ends then at the latest
    Duration away{};
  };
  std::optional<Parked>& parking(Side side) { return parking_[static_cast<std::size_t>(side)]; }
  bool parks(Side side) const { return parking_[static_cast<std::size_t>(side)].has_value(); }
  void park(Side side, const Plan::Kill::Parking& parking_of_plan);
  struct Revived {
    End* end = nullptr;
    Recovered recovered;
    std::unique_ptr<SessionPump> pump;
  };
  std::vector<Revived> revive(Side side, Memory& fresh);
  std::optional<TcpMoved> found_of(const End& end) const;
  void take_over(Revived revived);
  void record_connection(Side side, SessionPump& pump) const;
  void call_late(End& end);
  Notice notice_of(const Fault& fault) const;

  void say(const std::string& text);
  TimePoint at(Duration since_start) const { return start_ + since_start; }

  std::ostream* trace_;
  Random random_;
  Plan plan_;
  TimePoint start_;
  TimePoint now_;

  std::array<KillPoints, 2> points_{KillPoints(Side::client), KillPoints(Side::server)};
  std::unique_ptr<Memory> client_memory_;
  std::unique_ptr<Memory> server_memory_;
  // True: as in a real event loop, a wait stays in place after the pump has lost interest, and a
  // postponed timer still fires early. False: only the latest interests count.
  bool waits_last_;
  std::vector<std::unique_ptr<Application>> applications_;  // every application ever made
  End client_;
  std::optional<Attempt> attempt_;
  SegmentLimit segment_limit_;  // what the client has learned of the path
  std::unique_ptr<SessionRegistry> registry_;
  std::vector<std::unique_ptr<End>> sessions_;  // the server's
  std::vector<std::unique_ptr<Accepted>> accepted_;
  unsigned wires_ = 0;
  unsigned takeovers_ = 0;
  unsigned candidates_dropped_ = 0;
  bool reusable_ = false;

  std::size_t next_fault_ = 0;
  std::size_t next_kill_ = 0;
  std::uint64_t kills_ = 0;
  std::uint64_t parkings_ = 0;
  std::array<std::optional<Parked>, 2> parking_{};
  std::array<TimePoint, 2> asleep_until_{};
  bool healed_ = false;
  TimePoint blackhole_until_{};
  TimePoint dials_refused_until_{};
  TimePoint dials_hang_until_{};
  TimePoint refuses_for_now_until_{};
  std::optional<Fault> next_link_fault_;  // cut_after_bytes or lose_welcome
  std::optional<Duration> next_hello_late_;

  // These excuse an end that is not clean.
  bool an_application_has_reset_ = false;
  bool an_operator_has_closed_ = false;
  bool the_server_has_forgotten_ = false;  // a session or a tombstone
  bool the_target_has_refused_ = false;
  bool an_unheard_session_has_expired_ = false;
  bool a_grace_has_passed_ = false;
  bool an_uncounted_application_was_caught_ = false;  // by a kill, in the middle of a call
  std::optional<Reason> client_ended_;

  TimePoint second_began_{};
  std::uint64_t steps_ = 0;
  unsigned steps_in_second_ = 0;
  unsigned dials_in_second_ = 0;
};

}  // namespace backedpipe::sim
