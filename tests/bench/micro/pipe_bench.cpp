// Two pipes, or two sessions, with a link of memory between them: what the daemons do without their
// sockets.
#include <array>
#include <memory>

#include "session/session.hpp"
#include "support.hpp"

namespace backedpipe::bench {
namespace {

const SessionId kSession = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");

// All that one end has to say goes to the other one, piece by piece, straight out of the ring.
void carry(BackedPipe& from, BackedPipe& to, TimePoint now) {
  std::array<ConstBytes, 32> pieces;
  while (const std::size_t count = from.outgoing(now, pieces)) {
    std::size_t total = 0;
    for (const ConstBytes piece : std::span(pieces).first(count)) {
      if (const auto taken = to.receive(to.generation(), piece, now);
          !taken || *taken != piece.size())
        std::abort();
      total += piece.size();
    }
    from.sent(from.generation(), total);
  }
}

std::size_t deliver(BackedPipe& pipe, TimePoint now) {
  std::array<ConstBytes, 32> pieces;
  std::size_t total = 0;
  const std::size_t count = pipe.deliverable(pieces);
  for (const ConstBytes piece : std::span(pieces).first(count))
    total += piece.size();
  if (total > 0) pipe.delivered(total, now);
  return total;
}

struct Pair {
  ArenaPool near_pool, far_pool;
  BackedPipe near{*near_pool, PipeOptions{}}, far{*far_pool, PipeOptions{}};
  TimePoint now = at(std::chrono::seconds(1));

  Pair() {
    const auto generation = near.connect();
    if (!far.attach(*generation, near.take_position(), now) ||
        !near.attach(*generation, far.take_position(), now))
      std::abort();
  }
};

// One way, in writes of one size; nothing but what comes in is copied.
void pipe_bulk(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto pair = std::make_unique<Pair>();
  std::array<MutableBytes, 32> room;
  for ([[maybe_unused]] auto unused : state) {
    pair->now += std::chrono::microseconds(20);
    std::size_t prepared = 0;
    const std::size_t count = pair->near.prepare(size, room);
    for (const MutableBytes piece : std::span(room).first(count))
      prepared += piece.size();
    pair->near.commit(prepared);
    carry(pair->near, pair->far, pair->now);
    for (std::size_t delivered = 0; delivered < prepared;)
      delivered += deliver(pair->far, pair->now);
    carry(pair->far, pair->near, pair->now);
  }
  count_bytes(state, size);
}
BENCHMARK(pipe_bulk)->Arg(4 << 10)->Arg(64 << 10)->Arg(128 << 10);

// A message there, and one back.
void pipe_round_trip(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto pair = std::make_unique<Pair>();
  const std::vector<std::byte> message(size, std::byte{1});
  for ([[maybe_unused]] auto unused : state) {
    pair->now += std::chrono::microseconds(20);
    pair->near.write(message);
    carry(pair->near, pair->far, pair->now);
    deliver(pair->far, pair->now);
    pair->far.write(message);
    carry(pair->far, pair->near, pair->now);
    deliver(pair->near, pair->now);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(pipe_round_trip)->Arg(1)->Arg(1 << 10);

// A session is made on both sides and gets its first link.
void session_hello_welcome(benchmark::State& state) {
  ArenaPool near_pool, far_pool;
  const SessionOptions options;
  const TimePoint now = at(std::chrono::seconds(1));
  for ([[maybe_unused]] auto unused : state) {
    Session client({.id = kSession, .role = Role::client, .service = "ssh"}, *near_pool, options, 1,
                   now);
    Session server({.id = kSession, .role = Role::server, .service = "ssh"}, *far_pool, options, 2,
                   now);
    client.start(now);
    const auto dial = client.next_action();
    const auto hello = client.begin_handshake(dial->generation, now, nullptr);
    const auto welcome = server.attach(*hello, true, now);
    if (!welcome) state.SkipWithError("the server did not attach");
    client.welcomed(*welcome, now);
    if (client.pipe().state() != PipeState::connected)
      state.SkipWithError("the client did not attach");
  }
}
BENCHMARK(session_hello_welcome);

}  // namespace
}  // namespace backedpipe::bench
