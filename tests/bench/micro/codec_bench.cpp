// Frames and handshake messages: what is on the wire.
#include <array>

#include "proto/frame.hpp"
#include "proto/handshake.hpp"
#include "session/handshake.hpp"
#include "support.hpp"

namespace backedpipe::bench {
namespace {

const SessionId kSession = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");

Hello opening_hello() {
  return {.session = kSession,
          .generation = 1,
          .position = {0, 0, 262144},
          .open = true,
          .service = "ssh"};
}

Welcome matching_welcome() {
  return {.session = kSession, .generation = 1, .position = {0, 0, 262144}, .created = true};
}

void frame_encode(benchmark::State& state) {
  std::array<std::byte, kMaxFramePrefixBytes> out;
  Frame frame{FrameType::data, 1, 2};
  for ([[maybe_unused]] auto unused : state) {
    benchmark::DoNotOptimize(encode(frame, 65536, out));
    ++frame.value;
  }
}
BENCHMARK(frame_encode);

// DATA frames of one size, as many as fit into what one receive brings.
void frame_decode(benchmark::State& state) {
  constexpr std::size_t kReceived = std::size_t{256} << 10;
  const auto payload = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> link;
  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  std::int64_t frames = 0;
  do {
    const std::size_t size = encode({FrameType::data, 0, 0}, payload, prefix);
    link.insert(link.end(), prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(size));
    link.resize(link.size() + payload);
    ++frames;
  } while (link.size() + payload < kReceived);
  for ([[maybe_unused]] auto unused : state) {
    FrameDecoder decoder;
    ConstBytes input = link;
    while (!input.empty())
      benchmark::DoNotOptimize(decoder.next(input));
  }
  state.SetItemsProcessed(state.iterations() * frames);
}
BENCHMARK(frame_decode)->Arg(1)->Arg(1 << 10)->Arg(64 << 10);

// Both machines of one handshake, from HELLO to WELCOME.
void handshake_hello_welcome(benchmark::State& state) {
  const Hello hello = opening_hello();
  const Welcome welcome = matching_welcome();
  for ([[maybe_unused]] auto unused : state) {
    ClientHandshake client(hello);
    ServerHandshake server;
    ConstBytes to_server = client.outgoing();
    if (!server.receive(to_server)) state.SkipWithError("HELLO was not taken");
    server.answer(welcome);
    ConstBytes to_client = server.outgoing();
    if (!client.receive(to_client) || client.welcome() == nullptr)
      state.SkipWithError("WELCOME was not taken");
  }
}
BENCHMARK(handshake_hello_welcome);

}  // namespace
}  // namespace backedpipe::bench
