// World: the client's attempts at its next link.
#include <utility>

#include "world.hpp"
#include "world_limits.hpp"

namespace backedpipe::sim {

void World::dial(std::uint64_t generation) {
  require(++dials_in_second_ <= kMostDialsPerSecond, "no action loops", "too many dials a second");
  require(!attempt_, "one attempt at a time", "a second one was begun");
  require(generation > client_.attached_generation, "generations grow", "an old one is dialled");
  Attempt attempt;
  attempt.generation = generation;
  attempt.segment_limit = segment_limit_.for_dial(client_.session().fruitless_links(), now_).bytes;
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

// A false alarm, which cost only a dial.
void World::drop_candidate() {
  say("client: drops the candidate");
  ++candidates_dropped_;
  require(!attempt_->wire, "make before break",
          "the server has heard of a candidate that is dropped");
  require(
      client_.session().over() || client_.session().pipe().generation() == client_.link_generation,
      "make before break", "the live link lost its generation");
}

void World::abandon_attempt() {
  if (attempt_->wire) attempt_->wire->link.close(Side::client, now_);
  attempt_.reset();
}

// Bytes that arrived on a suspect link count before the session gives the link up.
void World::connect_attempt() {
  look_at_link(client_);
  run(client_);
  if (!attempt_) return;
  const auto hello = client_.pump->begin_handshake(attempt_->generation, now_);
  if (!hello) {
    run(client_);
    require(!attempt_, "one attempt at a time", "an attempt that the session does not know");
    return;
  }
  // A candidate takes over: the older link was released.
  if (client_.link) ++takeovers_;
  run(client_);
  require(!client_.link, "one link at a time", "the older link was not closed");
  attempt_->wire = std::make_shared<Wire>(plan_.link, random_, ++wires_);
  if (!attempt_->segment_limit) attempt_->wire->swallows_over = plan_.swallows_over;
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
    // The server notices the connection only with its first bytes.
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
    client_.session().attempt_failed(generation, false, now_);
    run(client_);
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
    client_.session().refused(generation, reason, now_);
    run(client_);
    return true;
  }
  if (const Welcome* welcome = handshake.complete() ? handshake.welcome() : nullptr) {
    say("client: welcomed, server has delivered " + std::to_string(welcome->position.delivered) +
        ", received " + std::to_string(welcome->position.received));
    client_.application->meet(wire->server_application);
    wire->taps[0].begin(welcome->position);
    const Welcome answer = *welcome;
    attempt_.reset();
    take_link(wire, answer);
    return true;
  }
  if (wire->link.over(Side::client, now_)) return fail("link is over");
  return progress;
}

// The server has welcomed the attempt that this connection belongs to.
void World::take_link(const WirePointer& wire, const Welcome& welcome) {
  // The handshake may have read more than the WELCOME.
  const ConstBytes readable = wire->link.readable(Side::client, now_);
  const ConstBytes first = readable.first(random_.between(0, readable.size()));
  const std::vector<std::byte> early(first.begin(), first.end());
  wire->link.take(Side::client, early.size());
  auto link = std::make_unique<SimLink>(
      wire, Side::client,
      SimLink::Owner{client_.session(), *client_.application, points(Side::client)}, random_, now_);
  link->set_drained(random_.chance(50));
  if (client_.pump->welcomed(*link, welcome, early, now_)) {
    adopt(client_, std::move(link), welcome.generation);
  } else {
    wire->link.close(Side::client, now_);
  }
  if (!early.empty()) client_.heard = true;
  run(client_);
}

}  // namespace backedpipe::sim
