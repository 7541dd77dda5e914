#include "world.hpp"

#include <algorithm>
#include <ostream>

#include <boost/system/errc.hpp>

#include "tests/support/placing.hpp"

namespace backedpipe::sim {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr const char* kIdentity = "laptop";
constexpr const char* kService = "ssh";
// From the last fault to the end of everything: a link found dead, a dial that hung, the longest
// backoff, and the transfer itself on the slowest link.
constexpr Duration kGrace = std::chrono::minutes(4);
constexpr Duration kForGood = hours(1000);
constexpr unsigned kMostStepsPerSecond = 60'000;
constexpr unsigned kMostDialsPerSecond = 60;
constexpr unsigned kMostRoundsPerStep = 20'000;

std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}

boost::system::error_code connection_reset() {
  return make_error_code(boost::system::errc::connection_reset);
}

}  // namespace

World::World(std::uint64_t seed, std::ostream* trace)
    : trace_(trace),
      random_(seed),
      plan_(make_plan(random_)),
      start_(TimePoint(hours(1))),
      now_(start_),
      second_began_(start_) {
  client_memory_ = std::make_unique<Memory>(plan_.client_arena_bytes, plan_.segment_bytes);
  server_memory_ = std::make_unique<Memory>(plan_.server_arena_bytes, plan_.segment_bytes);
  registry_ = std::make_unique<SessionRegistry>(plan_.registry);
  applications_.push_back(
      std::make_unique<Application>(Side::client, plan_.client_script, random_, now_));
  client_.side = Side::client;
  client_.application = applications_.back().get();
  Session::Identity identity{.id = {}, .role = Role::client, .service = kService};
  for (auto& byte : identity.id.bytes)
    byte = static_cast<std::uint8_t>(random_.next());
  client_.session =
      std::make_unique<Session>(identity, client_memory_->pool, plan_.client, random_.next(), now_);
}

World::~World() = default;

void World::say(const std::string& text) {
  if (trace_ == nullptr) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now_ - start_).count();
  *trace_ << micros / 1'000'000 << '.' << std::to_string(1'000'000 + micros % 1'000'000).substr(1)
          << "  " << text << '\n';
}

// --- time

void World::run() {
  if (trace_ != nullptr) {
    for (const Fault& fault : plan_.faults) {
      say(std::string("plan: ") + name(fault.kind) + " at " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(fault.at).count()) +
          " ms");
    }
  }
  client_.session->start(now_);
  std::optional<TimePoint> client_gone_at;
  while (true) {
    step();
    const bool client_is_over = client_ended_.has_value();
    if (client_is_over && !client_gone_at) client_gone_at = now_;
    if (client_is_over && sessions_.empty() && accepted_.empty()) break;

    const auto next = next_event();
    require(next.has_value(), "nobody waits for nothing", "no event will ever come");
    const TimePoint bound = std::max(at(plan_.healed_at), client_gone_at.value_or(start_)) + kGrace;
    if (*next > bound) {
      require(client_is_over, "ends within bounded time", "the client's session goes on");
      for (const auto& end : sessions_) {
        // A session whose opening came so late that its client had gone can only expire.
        require(!end->heard || client_ended_ == Reason::expired, "ends within bounded time",
                "the server's session goes on");
        require(*next <= bound + plan_.server.resume_timeout, "ends within bounded time",
                "the server's session does not expire");
      }
      require(accepted_.empty(), "ends within bounded time", "a handshake goes on");
    }
    now_ = *next;
  }

  for (const auto& application : applications_) {
    require((application->complete() && application->finished()) || application->was_told() ||
                application->has_reset(),
            "no silent end", application->describe() + " was left without an answer");
  }
  require(
      client_memory_->pool.segments_in_use() == 0 && server_memory_->pool.segments_in_use() == 0,
      "memory is given back", "segments are still in use");
  require(registry_->size() == 0, "sessions are forgotten", "the registry still has one");
  registry_->tick(now_ + plan_.registry.tombstone_time);
  require(registry_->tombstone_count() == 0, "tombstones go", "one is still there");
}

World::Tally World::tally() const {
  Tally tally{.steps = steps_,
              .links = wires_,
              .takeovers = takeovers_,
              .candidates_dropped = candidates_dropped_,
              .bytes = 0,
              .clean = client_ended_ == Reason::closed,
              .reusable = reusable_};
  for (const auto& application : applications_)
    tally.bytes += application->taken();
  return tally;
}

std::optional<TimePoint> World::next_event() {
  std::optional<TimePoint> next;
  const auto consider = [&](std::optional<TimePoint> when) { next = earlier(next, when); };
  const auto consider_wire = [&](const WirePointer& wire) {
    if (wire) consider(wire->link.next_event(now_));
  };
  const auto consider_end = [&](const End& end) {
    consider(end.session->deadline(now_));
    consider(end.application->next_event(now_));
    if (end.target_refuses_at) consider(end.target_refuses_at);
    consider_wire(end.wire);
  };
  if (!client_ended_) consider_end(client_);
  for (const auto& end : sessions_)
    consider_end(*end);
  for (const auto& accepted : accepted_) {
    consider(accepted->gives_up_at);
    consider_wire(accepted->wire);
  }
  if (attempt_) {
    consider(attempt_->gives_up_at);
    consider(attempt_->refused_at);
    if (!attempt_->wire) consider(attempt_->connects_at);
    consider_wire(attempt_->wire);
  }
  if (next_fault_ < plan_.faults.size()) consider(at(plan_.faults[next_fault_].at));
  if (!healed_) consider(at(plan_.healed_at));
  for (const auto& closing : {plan_.client_closed_at, plan_.server_closed_at}) {
    if (closing && at(*closing) > now_) consider(at(*closing));
  }
  return next;
}

void World::step() {
  if (now_ - second_began_ >= seconds(1)) {
    second_began_ = now_;
    steps_in_second_ = dials_in_second_ = 0;
  }
  require(++steps_in_second_ <= kMostStepsPerSecond, "no action loops", "too many steps a second");
  ++steps_;
  apply_due_faults();
  tick_all();
  unsigned rounds = 0;
  while (pump()) {
    require(++rounds <= kMostRoundsPerStep, "no action loops", "a moment without end");
  }
  check_everything();
}

void World::tick_all() {
  const std::size_t tombstones = registry_->tombstone_count();
  registry_->tick(now_);
  if (registry_->tombstone_count() < tombstones) the_server_has_forgotten_ = true;
  if (!client_ended_) tick(client_);
  for (const auto& end : sessions_)
    tick(*end);
}

void World::tick(End& end) {
  if (end.session->doubts(now_)) ask_tcp(end);
  end.session->tick(now_);
}

void World::ask_tcp(End& end) {
  if (!end.wire) return;
  const auto answer = end.wire->link.tcp_answer(end.side, now_);
  if (answer) end.session->tcp_answered(*answer, now_);
}

void World::check_everything() {
  const auto check_end = [&](const End& end, const PipeOptions& options) {
    const Session& session = *end.session;
    check_offsets(session);
    check_memory(session, options, plan_.segment_bytes);
    const auto deadline = session.deadline(now_);
    require(!deadline || *deadline > now_, "no action loops", "a deadline that tick() leaves");
    const bool given_up = session.pipe().resetting() || session.ended();
    const Application* reader =
        end.side == Side::client ? client_.application->counterpart() : client_.application;
    if (!given_up && reader != nullptr && !reader->gone()) {
      require(session.pipe().writer().acknowledged() <= reader->taken_sequence(),
              "acknowledges only what was taken", name(end.side));
    }
    if (session.application_done() && !session.ended()) {
      require(
          end.application->gone() || (end.application->finished() && end.application->end_seen()),
          "no silent end", "the application is called done and is not");
    }
    return session.pipe().writer().ring().segment_count() +
           session.pipe().reader().ring().segment_count();
  };
  const std::size_t client_segments = client_ended_ ? 0 : check_end(client_, plan_.client.pipe);
  std::size_t server_segments = 0;
  for (const auto& end : sessions_)
    server_segments += check_end(*end, plan_.server.pipe);
  require(client_memory_->pool.segments_in_use() == client_segments &&
              server_memory_->pool.segments_in_use() == server_segments,
          "memory is given back", "segments that no ring holds");
  require(registry_->size() == sessions_.size(), "sessions are forgotten", "the registry differs");
}

// --- moving bytes

bool World::pump() {
  bool progress = false;
  const auto pump_client = [&] {
    if (!client_ended_ && pump_end(client_)) progress = true;
    if (attempt_ && pump_attempt()) progress = true;
  };
  const auto pump_server = [&] {
    for (std::size_t i = 0; i < accepted_.size(); ++i) {
      if (pump_accepted(*accepted_[i])) progress = true;
    }
    std::erase_if(accepted_, [](const auto& accepted) { return accepted->over; });
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (pump_end(*sessions_[i])) progress = true;
    }
    std::erase_if(sessions_, [](const auto& end) { return end->over; });
  };
  if (random_.chance(50)) {
    pump_client();
    pump_server();
  } else {
    pump_server();
    pump_client();
  }
  return progress;
}

bool World::pump_end(End& end) {
  bool progress = false;
  const auto application_turn = [&] {
    if (!end.over && end.application->pump(*end.session, now_)) progress = true;
  };
  if (end.target_refuses_at && now_ >= *end.target_refuses_at) {
    end.target_refuses_at.reset();
    the_target_has_refused_ = true;
    say("server: the target refuses");
    end.session->reset(Reason::target_refused);
    progress = true;
  }
  // In whatever order the event loop has them.
  if (random_.chance(50)) application_turn();
  if (execute_actions(end)) progress = true;
  if (!end.over && read_link(end)) progress = true;
  application_turn();
  if (execute_actions(end)) progress = true;
  if (!end.over && write_link(end)) progress = true;
  if (execute_actions(end)) progress = true;
  if (end.application->has_reset()) an_application_has_reset_ = true;

  if (end.side == Side::server && !end.over) {
    const bool detached = end.session->pipe().state() != PipeState::connected;
    if (detached != end.was_detached) {
      end.was_detached = detached;
      if (detached) {
        registry_->detached(end.session->id(), now_);
      } else {
        registry_->attached(end.session->id());
      }
    }
  }
  return progress;
}

bool World::execute_actions(End& end) {
  if (end.application->has_reset()) an_application_has_reset_ = true;
  bool progress = false;
  while (!end.over) {
    const auto action = end.session->next_action();
    if (!action) break;
    progress = true;
    switch (action->kind) {
      case Session::Action::Kind::connect:
        dial(action->generation);
        break;
      case Session::Action::Kind::close_link:
        if (end.wire && end.wire_generation == action->generation) {
          check_reuse(end);
          drop_wire(end);
        } else if (end.side == Side::client && attempt_ &&
                   attempt_->generation == action->generation) {
          if (end.wire) drop_candidate();
          abandon_attempt();
        }
        break;
      case Session::Action::Kind::reset_application:
        say(std::string(name(end.side)) +
            ": application told: " + std::string(backedpipe::name(action->reason)));
        check_reason(end, action->reason);
        end.application->tell(*end.session, action->reason, now_);
        break;
      case Session::Action::Kind::ended:
        on_ended(end, action->reason);
        break;
    }
  }
  return progress;
}

bool World::read_link(End& end) {
  bool progress = false;
  while (end.wire) {
    const WirePointer wire = end.wire;
    const std::uint64_t generation = end.wire_generation;
    const ConstBytes bytes = wire->link.readable(end.side, now_);
    if (bytes.empty()) break;
    const ConstBytes piece =
        bytes.first(random_.chance(50) ? bytes.size() : random_.between(1, bytes.size()));
    // Both ways of reading, without a throw of the dice: the worlds of known seeds stay what they
    // are.
    const std::size_t placed =
        piece.size() % 2 == 0 ? test::place(*end.session, generation, piece) : 0;
    const std::size_t taken =
        placed + end.session->receive(generation, piece.subspan(placed), now_, placed);
    end.heard = true;
    wire->link.take(end.side, taken);
    if (taken > 0) progress = true;
    // A loop may write before it looks at what follows from what it has read.
    if (random_.chance(50)) write_link(end);
    execute_actions(end);
    if (end.over || taken < piece.size()) break;
  }
  if (!end.over && end.wire && end.wire->link.over(end.side, now_)) {
    say(std::string(name(end.side)) + ": link " + std::to_string(end.wire->number) + " is over");
    const LinkError error{
        random_.chance(50) ? LinkError::Component::reader : LinkError::Component::writer,
        end.wire_generation, connection_reset()};
    drop_wire(end);
    end.session->link_lost(error, now_);
    execute_actions(end);
    if (!end.over) call_late(end);
    progress = true;
  }
  return progress;
}

bool World::write_link(End& end) {
  bool progress = false;
  while (end.wire) {
    const WirePointer wire = end.wire;
    if (!end.preamble.empty()) {
      const std::size_t count = wire->link.write(end.side, end.preamble, now_);
      end.preamble.erase(end.preamble.begin(),
                         end.preamble.begin() + static_cast<std::ptrdiff_t>(count));
      if (count == 0) break;
      progress = true;
      continue;
    }
    std::array<ConstBytes, 8> pieces;
    const std::size_t count =
        end.session->outgoing(now_, std::span(pieces).first(random_.between(1, pieces.size())));
    if (count == 0) break;

    auto& offered = wire->offered[index(end.side)];
    std::size_t compared = 0;
    std::size_t written = 0;
    bool blocked = false;
    std::vector<std::byte> rest;
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < pieces[i].size() && compared < offered.size(); ++j) {
        require(pieces[i][j] == offered[compared++], "what was offered stays",
                "other bytes after a write that was not complete");
      }
      ConstBytes left = pieces[i];
      while (!left.empty() && !blocked) {
        const std::size_t put = wire->link.write(end.side, left, now_);
        const std::optional<std::uint64_t> taken_sequence =
            end.session->pipe().resetting() ? std::nullopt
                                            : std::optional(end.application->taken_sequence());
        wire->taps[index(end.side)].put(left.first(put), taken_sequence,
                                        wire->taps[index(other(end.side))]);
        left = left.subspan(put);
        written += put;
        blocked = put == 0;
      }
      if (blocked && rest.size() < 64) rest.insert(rest.end(), left.begin(), left.end());
    }
    offered = std::move(rest);
    if (written > 0) {
      end.session->sent(end.wire_generation, written);
      progress = true;
      execute_actions(end);
    }
    if (end.over || blocked) break;
  }
  return progress;
}

// Where the client may say HELLO again, the server expects one, and nothing else is on the way.
void World::check_reuse(const End& end) {
  if (!end.session->link_reusable()) return;
  if (end.side == Side::server) {
    end.wire->reusable_for_server = true;
    return;
  }
  reusable_ = true;
  require(end.wire->reusable_for_server, "both sides know that a link is free",
          "the server does not");
  require(end.wire->link.empty(), "a free link is at rest", "something is still on its way");
}

void World::drop_wire(End& end) {
  if (!end.wire) return;
  say(std::string(name(end.side)) + ": closes link " + std::to_string(end.wire->number));
  end.wire->link.close(end.side, now_);
  end.wire.reset();
  end.preamble.clear();
}

// --- dialling and accepting

void World::dial(std::uint64_t generation) {
  require(++dials_in_second_ <= kMostDialsPerSecond, "no action loops", "too many dials a second");
  require(!attempt_, "one attempt at a time", "a second one was begun");
  require(!client_.wire || client_.session->suspect(), "make before break",
          "a candidate beside a link that nobody suspects");
  require(generation > client_.attached_generation, "generations grow", "an old one is dialled");
  Attempt attempt;
  attempt.generation = generation;
  attempt.gives_up_at = now_ + kHandshakeTimeout;
  if (now_ < blackhole_until_ || now_ < dials_hang_until_) {
    say("client: dials generation " + std::to_string(generation) + ", which hangs");
  } else if (now_ < dials_refused_until_) {
    say("client: dials generation " + std::to_string(generation) + ", which is refused");
    attempt.refused_at = now_ + 2 * plan_.link.latency;
  } else {
    say("client: dials generation " + std::to_string(generation));
    attempt.connects_at = now_ + 2 * plan_.link.latency;
  }
  attempt_ = std::move(attempt);
}

// A false alarm: it has cost a dial, and nothing else.
void World::drop_candidate() {
  say("client: drops the candidate");
  ++candidates_dropped_;
  require(!attempt_->wire, "make before break",
          "the server has heard of a candidate that is dropped");
  require(
      client_.session->ended() || client_.session->pipe().generation() == client_.wire_generation,
      "make before break", "the live link lost its generation");
}

void World::abandon_attempt() {
  if (attempt_->wire) attempt_->wire->link.close(Side::client, now_);
  attempt_.reset();
}

void World::connect_attempt() {
  if (client_.session->suspect()) {
    ask_tcp(client_);
    execute_actions(client_);
    if (!attempt_) return;
  }
  const auto hello = client_.session->hello(attempt_->generation, now_);
  require(hello.has_value(), "one attempt at a time", "an attempt that the session does not know");
  // A candidate takes over: the older link has been let go of.
  if (client_.wire) ++takeovers_;
  execute_actions(client_);
  require(!client_.wire, "one link at a time", "the older link was not closed");
  attempt_->wire = std::make_shared<Wire>(plan_.link, random_, ++wires_);
  attempt_->handshake = std::make_unique<ClientHandshake>(*hello);
  Link& link = attempt_->wire->link;
  auto accepted = std::make_unique<Accepted>();
  accepted->wire = attempt_->wire;
  accepted->gives_up_at = now_ + kHandshakeTimeout;
  say("client: link " + std::to_string(wires_) + " for generation " +
      std::to_string(hello->generation) + (hello->open ? ", opening" : "") + ", delivered " +
      std::to_string(hello->position.delivered) + ", received " +
      std::to_string(hello->position.received));
  if (next_hello_late_) {
    link.freeze(Side::client, now_, now_ + *next_hello_late_);
    // The server notices the connection as late as its first bytes.
    accepted->gives_up_at += *next_hello_late_;
    next_hello_late_.reset();
  }
  if (next_link_fault_) {
    link.cut_after(next_link_fault_->side,
                   {next_link_fault_->number, next_link_fault_->client_notices_after,
                    next_link_fault_->server_notices_after});
    next_link_fault_.reset();
  }
  accepted_.push_back(std::move(accepted));
}

bool World::pump_attempt() {
  const std::uint64_t generation = attempt_->generation;
  const auto due = [&](std::optional<TimePoint> when) { return when && now_ >= *when; };
  const auto fail = [&](const char* why) {
    say(std::string("client: attempt fails: ") + why);
    abandon_attempt();
    client_.session->attempt_failed(generation, false, now_);
    execute_actions(client_);
    if (!client_ended_) call_late(client_);
    return true;
  };
  if (due(attempt_->refused_at)) return fail("refused");
  if (due(attempt_->gives_up_at)) return fail("timed out");
  if (!attempt_->wire) {
    if (!due(attempt_->connects_at)) return false;
    connect_attempt();
    if (!attempt_) return true;
  }

  bool progress = false;
  const WirePointer wire = attempt_->wire;
  ClientHandshake& handshake = *attempt_->handshake;
  while (!handshake.outgoing().empty()) {
    const std::size_t count = wire->link.write(Side::client, handshake.outgoing(), now_);
    if (count == 0) break;
    handshake.sent(count);
    progress = true;
  }
  while (!handshake.complete()) {
    const ConstBytes bytes = wire->link.readable(Side::client, now_);
    if (bytes.empty()) break;
    ConstBytes piece = bytes.first(random_.between(1, bytes.size()));
    const std::size_t given = piece.size();
    require(handshake.receive(piece).has_value(), "handshakes are understood", "the client's");
    wire->link.take(Side::client, given - piece.size());
    progress = true;
  }
  if (const Refused* refused = handshake.complete() ? handshake.refused() : nullptr) {
    const Reason reason = refused->reason;
    say("client: refused: " + std::string(backedpipe::name(reason)));
    abandon_attempt();
    client_.session->refused(generation, reason, now_);
    execute_actions(client_);
    return true;
  }
  if (const Welcome* welcome = handshake.complete() ? handshake.welcome() : nullptr) {
    say("client: welcomed, server has delivered " + std::to_string(welcome->position.delivered) +
        ", received " + std::to_string(welcome->position.received));
    client_.application->meet(wire->server_application);
    client_.wire = wire;
    client_.wire_generation = client_.attached_generation = generation;
    wire->taps[index(Side::client)].begin(welcome->position);
    const Welcome answer = *welcome;
    attempt_.reset();
    client_.session->welcomed(answer, now_);
    execute_actions(client_);
    return true;
  }
  if (wire->link.over(Side::client, now_)) return fail("link is over");
  return progress;
}

World::End* World::find_session(const SessionId& id) {
  for (const auto& end : sessions_) {
    if (!end->over && end->session->id() == id) return end.get();
  }
  return nullptr;
}

World::End* World::open_session(const Hello& hello) {
  say("server: opens the session");
  applications_.push_back(
      std::make_unique<Application>(Side::server, plan_.server_script, random_, now_));
  applications_.back()->meet(client_.application);
  if (healed_) applications_.back()->hurry(now_);
  auto end = std::make_unique<End>();
  end->side = Side::server;
  end->application = applications_.back().get();
  if (plan_.target == Plan::Target::refuses_later)
    end->target_refuses_at = now_ + plan_.target_takes;
  end->session = std::make_unique<Session>(
      Session::Identity{.id = hello.session, .role = Role::server, .service = hello.service},
      server_memory_->pool, plan_.server, random_.next(), now_);
  registry_->add(hello.session, kIdentity, hello.service, now_);
  sessions_.push_back(std::move(end));
  return sessions_.back().get();
}

void World::refuse(Accepted& accepted, Reason reason) {
  say("server: refuses: " + std::string(backedpipe::name(reason)));
  accepted.refused = true;
  accepted.handshake.answer(Refused{.reason = reason, .text = "no"});
}

void World::answer(Accepted& accepted) {
  const Hello& hello = accepted.handshake.hello();
  if (now_ < refuses_for_now_until_) {
    return refuse(accepted, random_.chance(50) ? Reason::overloaded : Reason::shutting_down);
  }
  const auto decision = registry_->decide(hello, kIdentity, Reason::none);
  if (decision.verdict == SessionRegistry::Verdict::refuse)
    return refuse(accepted, decision.reason);
  const bool created = decision.verdict == SessionRegistry::Verdict::open;
  require(!decision.to_evict, "sessions are forgotten", "one is to be evicted");
  if (created && plan_.target == Plan::Target::refuses_at_once) {
    the_target_has_refused_ = true;
    return refuse(accepted, Reason::target_refused);
  }
  End* end = created ? open_session(hello) : find_session(hello.session);
  require(end != nullptr, "sessions are forgotten", "the registry knows one that is not there");
  const auto welcome = end->session->attach(hello, created, now_);
  execute_actions(*end);
  if (!welcome) {
    return refuse(accepted, reason_of(welcome.error()).value_or(Reason::shutting_down));
  }
  require(hello.generation > end->attached_generation, "generations grow",
          "the server accepts an old one");
  require(!end->wire, "one link at a time", "the older link was not closed");
  say("server: attached generation " + std::to_string(hello.generation));
  end->attached_generation = end->wire_generation = hello.generation;
  end->wire = accepted.wire;
  end->wire->server_application = end->application;
  end->wire->taps[index(Side::server)].begin(hello.position);
  accepted.handshake.answer(*welcome);
  const ConstBytes bytes = accepted.handshake.outgoing();
  end->preamble.assign(bytes.begin(), bytes.end());
  accepted.over = true;
}

bool World::pump_accepted(Accepted& accepted) {
  bool progress = false;
  Link& link = accepted.wire->link;
  while (!accepted.over && !accepted.handshake.complete()) {
    const ConstBytes bytes = link.readable(Side::server, now_);
    if (bytes.empty()) break;
    ConstBytes piece = bytes.first(random_.between(1, bytes.size()));
    const std::size_t given = piece.size();
    require(accepted.handshake.receive(piece).has_value(), "handshakes are understood",
            "the server's");
    link.take(Side::server, given - piece.size());
    progress = true;
    if (accepted.handshake.complete()) answer(accepted);
  }
  if (accepted.over) return progress;
  if (accepted.refused) {
    while (!accepted.handshake.outgoing().empty()) {
      const std::size_t count = link.write(Side::server, accepted.handshake.outgoing(), now_);
      if (count == 0) break;
      accepted.handshake.sent(count);
      progress = true;
    }
  }
  const bool flushed = accepted.refused && accepted.handshake.outgoing().empty();
  if (flushed || now_ >= accepted.gives_up_at || link.over(Side::server, now_)) {
    link.close(Side::server, now_);
    accepted.over = true;
    progress = true;
  }
  return progress;
}

// --- the end of a session

bool World::transfer_complete() const {
  const Application* server = client_.application->counterpart();
  return server != nullptr && client_.application->complete() && server->complete();
}

void World::check_reason(const End& end, Reason reason) const {
  const std::string what =
      std::string(name(end.side)) + ": " + std::string(backedpipe::name(reason));
  bool excused = false;
  switch (reason) {
    case Reason::closed:
      excused = transfer_complete();
      break;
    case Reason::application_reset:
      excused = an_application_has_reset_;
      break;
    case Reason::closed_by_operator:
      excused = an_operator_has_closed_;
      break;
    case Reason::target_refused:
      excused = the_target_has_refused_;
      break;
    case Reason::unknown_session:
      excused = the_server_has_forgotten_;
      break;
    case Reason::expired:
      excused = plan_.server.resume_timeout < hours(24) || client_ended_;
      break;
    default:
      break;
  }
  require(excused, "ends only for a reason", what);
}

void World::on_ended(End& end, Reason reason) {
  say(std::string(name(end.side)) + ": session ended: " + std::string(backedpipe::name(reason)));
  check_reason(end, reason);
  const Application& application = *end.application;
  if (reason == Reason::closed) {
    require(!application.gone(), "ends only for a reason", "closed, yet its application was told");
  } else {
    require(application.gone() || application.complete(), "no silent end",
            std::string(name(end.side)) + "'s application was not told");
  }
  drop_wire(end);
  end.over = true;
  if (end.side == Side::client) {
    client_ended_ = reason;
    if (attempt_) abandon_attempt();
  } else {
    require(registry_->end(end.session->id(), reason, now_), "sessions are forgotten",
            "the registry did not know it");
  }
}

// --- faults

void World::apply_due_faults() {
  while (next_fault_ < plan_.faults.size() && now_ >= at(plan_.faults[next_fault_].at)) {
    apply(plan_.faults[next_fault_++]);
  }
  if (plan_.client_closed_at && now_ >= at(*plan_.client_closed_at)) {
    plan_.client_closed_at.reset();
    if (!client_ended_) {
      say("client: closed by its operator");
      an_operator_has_closed_ = true;
      client_.session->reset(Reason::closed_by_operator);
    }
  }
  if (plan_.server_closed_at && now_ >= at(*plan_.server_closed_at)) {
    plan_.server_closed_at.reset();
    for (const auto& end : sessions_) {
      say("server: closed by its operator");
      an_operator_has_closed_ = true;
      end->session->reset(Reason::closed_by_operator);
    }
  }
  if (!healed_ && now_ >= at(plan_.healed_at)) heal();
}

void World::heal() {
  say("healed");
  healed_ = true;
  blackhole_until_ = dials_refused_until_ = dials_hang_until_ = refuses_for_now_until_ = now_;
  next_link_fault_.reset();
  next_hello_late_.reset();
  client_.application->hurry(now_);
  for (const auto& end : sessions_)
    end->application->hurry(now_);
}

Notice World::notice_of(const Fault& fault) const {
  Notice notice;
  if (fault.client_notices_after) notice.client = now_ + *fault.client_notices_after;
  if (fault.server_notices_after) notice.server = now_ + *fault.server_notices_after;
  return notice;
}

void World::apply(const Fault& fault) {
  say(std::string("fault: ") + name(fault.kind));
  WirePointer live = client_.wire;
  if (!live && attempt_) live = attempt_->wire;
  if (!live && !sessions_.empty()) live = sessions_.back()->wire;
  const TimePoint until = now_ + fault.lasts;
  switch (fault.kind) {
    case Fault::Kind::cut:
      if (live) live->link.cut(notice_of(fault), now_);
      break;
    case Fault::Kind::cut_after_bytes:
      if (live) {
        live->link.cut_after(
            fault.side, {fault.number, fault.client_notices_after, fault.server_notices_after});
      } else {
        next_link_fault_ = fault;
      }
      break;
    case Fault::Kind::freeze:
      if (!live) break;
      for (const Side side : {Side::client, Side::server}) {
        if (!fault.both && side != fault.side) continue;
        live->link.freeze(side, now_, random_.chance(70) ? until : now_ + kForGood);
      }
      break;
    case Fault::Kind::blackhole:
      blackhole_until_ = std::max(blackhole_until_, until);
      for (const WirePointer& wire : {client_.wire, attempt_ ? attempt_->wire : nullptr,
                                      sessions_.empty() ? nullptr : sessions_.back()->wire}) {
        if (!wire) continue;
        // Some paths are forgotten by what lies between, and stay silent.
        const TimePoint back = random_.chance(70) ? until : now_ + kForGood;
        wire->link.freeze(Side::client, now_, back);
        wire->link.freeze(Side::server, now_, back);
      }
      if (attempt_ && !attempt_->wire) attempt_->connects_at.reset();
      break;
    case Fault::Kind::refuse_dials:
      dials_refused_until_ = std::max(dials_refused_until_, until);
      break;
    case Fault::Kind::hang_dials:
      dials_hang_until_ = std::max(dials_hang_until_, until);
      break;
    case Fault::Kind::forced_reconnect: {
      if (client_ended_) break;
      std::optional<std::uint64_t> forced;
      for (std::uint64_t i = 0; i < fault.number; ++i) {
        if (client_.session->ended()) break;
        require(client_.session->reconnect(now_), "reconnects when asked", "it does not");
        if (!forced) forced = client_.session->pipe().generation();
        require(client_.session->pipe().generation() == *forced, "one attempt at a time",
                "several were forced");
      }
      execute_actions(client_);
      break;
    }
    case Fault::Kind::distrust:
      if (client_ended_) break;
      // What was heard before says nothing of the time after this.
      if (client_.wire) client_.wire->link.tcp_answer(Side::client, now_);
      client_.session->distrust(now_);
      execute_actions(client_);
      break;
    case Fault::Kind::late_hello:
      next_hello_late_ = fault.lasts;
      break;
    case Fault::Kind::lose_welcome:
      next_link_fault_ = fault;
      next_link_fault_->side = Side::server;
      next_link_fault_->number = fault.number % 120;
      break;
    case Fault::Kind::refuse_for_now:
      refuses_for_now_until_ = std::max(refuses_for_now_until_, until);
      break;
    case Fault::Kind::restart_client:
      restart_client();
      break;
    case Fault::Kind::restart_server:
    case Fault::Kind::restart_server_forgetful:
      restart_server(fault.kind == Fault::Kind::restart_server);
      break;
  }
}

// The session goes on in another process, whose memory is new.
void World::restart(End& end, Memory& memory, const SessionOptions& options) {
  const std::vector<std::byte> state = end.session->snapshot();
  auto restored =
      std::make_unique<Session>(Session::Identity{}, memory.pool, options, random_.next(), now_);
  require(restored->restore(state).has_value(), "snapshots are restored", "it was not");
  require(restored->snapshot() == state, "snapshots are restored", "another state came back");
  drop_wire(end);
  end.session = std::move(restored);
}

void World::restart_client() {
  execute_actions(client_);
  if (client_ended_) return;
  auto memory = std::make_unique<Memory>(plan_.client_arena_bytes, plan_.segment_bytes);
  if (attempt_) abandon_attempt();
  restart(client_, *memory, plan_.client);
  client_memory_ = std::move(memory);
  client_.session->start(now_);
}

void World::restart_server(bool with_snapshot) {
  for (const auto& end : sessions_)
    execute_actions(*end);
  std::erase_if(sessions_, [](const auto& end) { return end->over; });
  for (const auto& accepted : accepted_)
    accepted->wire->link.close(Side::server, now_);
  accepted_.clear();
  // Tombstones are not part of the snapshot.
  if (registry_->tombstone_count() > 0) the_server_has_forgotten_ = true;
  auto memory = std::make_unique<Memory>(plan_.server_arena_bytes, plan_.segment_bytes);
  registry_ = std::make_unique<SessionRegistry>(plan_.registry);
  for (const auto& end : sessions_) {
    if (with_snapshot) {
      restart(*end, *memory, plan_.server);
      end->was_detached = true;
      registry_->add(end->session->id(), kIdentity, end->session->service(), now_);
    } else {
      the_server_has_forgotten_ = true;
      drop_wire(*end);
      end->application->lose();
    }
  }
  if (!with_snapshot) sessions_.clear();
  server_memory_ = std::move(memory);
}

// What the network layer may still report about a link or an attempt that is gone.
void World::call_late(End& end) {
  Session& session = *end.session;
  if (session.ended() || random_.chance(70)) return;
  const std::uint64_t current = session.pipe().generation();
  const bool dead = session.pipe().state() == PipeState::disconnected;
  if (current == 0 || (current == 1 && !dead)) return;
  const std::uint64_t generation = random_.between(1, dead ? current : current - 1);
  const auto state = session.snapshot();
  const auto deadline = session.deadline(now_);
  std::array<std::byte, 40> junk;
  for (std::byte& byte : junk)
    byte = static_cast<std::byte>(random_.next());
  session.receive(generation, junk, now_);
  session.sent(generation, random_.between(1, 100));
  session.link_lost({LinkError::Component::writer, generation, connection_reset()}, now_);
  if (session.role() == Role::client) {
    session.attempt_failed(generation, true, now_);
    session.refused(generation, Reason::unknown_session, now_);
    require(!dead || !session.hello(generation, now_), "late events do no harm", "a HELLO for one");
    session.welcomed(Welcome{.session = session.id(), .generation = generation, .position = {}},
                     now_);
  }
  require(session.snapshot() == state && session.deadline(now_) == deadline && !session.ended() &&
              !session.next_action() && session.pipe().generation() == current,
          "late events do no harm", "one changed something");
}

}  // namespace backedpipe::sim
