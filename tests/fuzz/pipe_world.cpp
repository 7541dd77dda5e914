// What happens in the world of fuzz_pipe by itself: applications, links and handshakes.
#include "tests/fuzz/pipe_world.hpp"

#include <algorithm>

#include "tests/support/placing.hpp"

namespace backedpipe::fuzz {

void World::step(FuzzInput& input) {
  const std::uint8_t what = input.byte();
  const Side side = (what & 0x80) != 0 ? kServer : kClient;
  End& end = ends_[side];
  switch (what % 28) {
    case 0:
    case 1:
      write(side, input.byte());
      break;
    case 2:
    case 3:
    case 4:
      send(side, 1U + input.byte());
      break;
    case 5:
    case 6:
    case 7:
      receive(side, input.byte());
      break;
    case 8:
    case 9:
      deliver(side, input.byte());
      break;
    case 10:
      connect();
      break;
    case 11:
      accept();
      break;
    case 12:
      welcome();
      break;
    case 13:
      connect();
      accept();
      welcome();
      break;
    case 14:
      lose_link(side);
      break;
    case 15:
      now_ += std::chrono::milliseconds(input.byte());
      end->tick(now_);
      break;
    case 16:
      end->finish();
      break;
    case 17:
      end->ping(now_);
      break;
    case 18:
      end.restart();
      if (side == kClient) hello_.reset();
      break;
    case 19:
      call_late(side, input);
      break;
    case 20:
      forge_bytes(side, input);
      break;
    case 21:
      forge_frame(side, input);
      break;
    case 22:
      forge_position(side, input);
      break;
    case 23:
      dial_beside();
      break;
    case 24:
      say_hello();
      break;
    case 25:
      if (const auto candidate = ends_[kClient]->candidate()) {
        require(ends_[kClient]->attempt_failed(*candidate), "a candidate can come to nothing");
      }
      break;
    case 26:  // a suspect link: a candidate takes over, however far the old link's bytes came
      dial_beside();
      say_hello();
      accept();
      welcome();
      break;
    default:
      if (input.byte() < 240) break;
      end_session(side, input);
      break;
  }
  check();
}

void World::heal() {
  if (forged_ || reset_) return;
  links_.clear();
  connect();
  accept();
  welcome();
  ends_[kClient]->finish();
  ends_[kServer]->finish();
  for (int round = 0; round < 20000 && !all_done(); ++round) {
    now_ += std::chrono::milliseconds(5);
    for (const Side side : {kClient, kServer}) {
      ends_[side]->tick(now_);
      send(side, SIZE_MAX);
      receive(other(side), 255);
      deliver(side, 255);
      check();
    }
  }
  require(all_done(), "all of it arrives in the end");
  for (const Side side : {kClient, kServer}) {
    require(ends_[side].delivered == ends_[other(side)].written && ends_[side].ended,
            "all that was written was delivered");
  }
}

void World::check() const {
  for (const End& end : ends_)
    end.check();
}

Link* World::link_of(std::uint64_t generation) {
  for (Link& link : links_) {
    if (link.generation == generation) return &link;
  }
  return nullptr;
}

// --- applications

void World::write(Side side, std::size_t count) {
  End& end = ends_[side];
  if (count % 2 == 0) {
    std::array<MutableBytes, 3> pieces;
    const std::size_t used = end->prepare(count, pieces);
    std::size_t filled = 0;
    for (std::size_t i = 0; i < used; ++i) {
      for (std::byte& byte : pieces[i])
        byte = byte_at(side, end.written + filled++);
    }
    // A read into it may return less, or nothing.
    filled -= std::min(filled, count % 5);
    end->commit(filled);
    end.written += filled;
  } else {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i)
      bytes[i] = byte_at(side, end.written + i);
    end.written += end->write(bytes);
  }
}

void World::deliver(Side side, std::size_t most) {
  End& end = ends_[side];
  std::array<ConstBytes, 5> pieces;
  const std::size_t used = end->deliverable(pieces);
  std::size_t count = 0;
  for (std::size_t i = 0; i < used; ++i) {
    for (const std::byte byte : pieces[i].first(std::min(most - count, pieces[i].size()))) {
      require(end.misled || byte == byte_at(other(side), end.delivered + count),
              "what is delivered is what was written");
      ++count;
    }
  }
  if (count > 0) end->delivered(count, now_);
  end.delivered += count;
  require(end.misled || end.delivered <= ends_[other(side)].written, "delivered was written");
  if (!end->end_due()) return;
  require(end.misled || (ends_[other(side)]->writer().finished() &&
                         end.delivered == ends_[other(side)].written),
          "the end comes after everything");
  require(!end.ended, "the end comes once");
  end.ended = true;
  end->end_delivered(now_);
}

// --- links

void World::send(Side side, std::size_t most) {
  End& end = ends_[side];
  std::array<ConstBytes, 6> pieces;
  const std::size_t used = end->outgoing(now_, pieces);
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < used; ++i)
    bytes.insert(bytes.end(), pieces[i].begin(), pieces[i].end());

  // What was offered is offered again, however it is asked for.
  std::array<ConstBytes, 1> first;
  if (end->outgoing(now_, first) > 0) {
    require(first[0].size() <= bytes.size() &&
                std::equal(first[0].begin(), first[0].end(), bytes.begin()),
            "what was offered stays the same");
  }
  bytes.resize(std::min(bytes.size(), most));
  if (bytes.empty()) return;
  require(end->state() == PipeState::connected, "only a connected pipe sends");
  end->sent(end->generation(), bytes.size());
  if (Link* link = link_of(end->generation())) {
    auto& wire = link->to[other(side)];
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
}

void World::receive(Side side, std::size_t most) {
  End& end = ends_[side];
  Link* link = link_of(end->generation());
  if (link == nullptr || end->state() != PipeState::connected) return;
  auto& wire = link->to[side];
  const ConstBytes bytes = ConstBytes(wire).first(std::min(wire.size(), most + 1));
  const std::size_t placed = most % 2 == 0 ? test::place(*end, end->generation(), bytes) : 0;
  const auto taken = end->receive(end->generation(), bytes.subspan(placed), now_, placed);
  if (!taken) {
    require(forged_, "nothing fails as long as nothing is forged");
    if (end->violates_session()) {
      reset(side, reason_of(taken.error()).value_or(Reason::protocol_error));
    }
    lose_link(side);
    return;
  }
  require(placed + *taken <= bytes.size(), "takes what it was given");
  wire.erase(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(placed + *taken));
  if (end->reset_received()) {
    reset_ = true;
    lose_link(side);
  }
}

void World::connect() {
  End& client = ends_[kClient];
  // A late completion of the attempt before this one must find nothing.
  if (client->state() == PipeState::reconnecting) {
    require(client->attempt_failed(client->generation()), "the attempt is the current one");
  }
  const auto generation = client->reconnect();
  if (!generation) {
    require(client->state() == PipeState::closed, "only a closed pipe cannot reconnect");
    return;
  }
  send_hello();
}

void World::dial_beside() {
  End& client = ends_[kClient];
  const bool possible = client->state() == PipeState::connected && !client->candidate();
  const std::uint64_t generation = client->generation();
  require(client->connect_beside().has_value() == possible, "one candidate beside a live link");
  require(client->generation() == generation, "a candidate leaves the live link as it is");
}

void World::say_hello() {
  End& client = ends_[kClient];
  if (client->candidate()) client->promote_candidate();
  const bool unsaid = link_of(client->generation()) == nullptr;
  if (client->state() == PipeState::reconnecting && unsaid) send_hello();
}

void World::send_hello() {
  End& client = ends_[kClient];
  while (links_.size() >= 3)
    links_.pop_front();
  links_.push_back({client->generation(), {}});
  hello_ = client->take_position();
  hello_at_ = now_;
  welcome_.reset();
}

void World::accept() {
  End& server = ends_[kServer];
  if (!hello_) return;
  const std::uint64_t generation = links_.back().generation;
  const auto attached = server->attach(generation, *hello_, now_);
  hello_.reset();
  if (attached) {
    welcome_ = server->take_position();
  } else {
    require(forged_ || server->state() == PipeState::closed, "an honest HELLO fits");
  }
}

void World::welcome() {
  End& client = ends_[kClient];
  if (!welcome_) return;
  const std::uint64_t generation = links_.back().generation;
  if (client->state() == PipeState::reconnecting && client->generation() == generation) {
    const auto attached = client->attach(generation, *welcome_, now_, now_ - hello_at_);
    require(attached || forged_, "an honest WELCOME fits");
    if (!attached) client->attempt_failed(generation);
  }
  welcome_.reset();
}

void World::lose_link(Side side) {
  End& end = ends_[side];
  const bool connected = end->state() == PipeState::connected;
  const LinkError error{LinkError::Component::writer, end->generation(), connection_reset()};
  require(end->detach(error) == connected, "the first error of a link counts");
  require(!end->detach(error), "only the first error of a link counts");
}

void World::call_late(Side side, FuzzInput& input) {
  End& end = ends_[side];
  const std::uint64_t generation = input.number(1);
  if (generation == end->generation() || generation == end->candidate()) return;
  const auto before = end->snapshot();
  const auto state = end->state();
  const auto junk = input.take(20);
  const auto taken = end->receive(generation, junk, now_);
  require(taken && *taken == junk.size(), "bytes of a dead link go nowhere");
  end->sent(generation, 7);
  require(!end->detach({LinkError::Component::reader, generation, connection_reset()}) &&
              !end->attempt_failed(generation),
          "errors of a dead link go nowhere");
  require(end->snapshot() == before && end->state() == state, "late events do no harm");
}

}  // namespace backedpipe::fuzz
