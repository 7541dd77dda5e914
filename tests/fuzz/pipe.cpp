// Two BackedPipes against each other. The fuzzer decides what the applications do, how bytes are
// cut up on their way, when links break or are suspected, how far handshakes and candidates get,
// which process restarts, and which bytes of the links are forged. Input: 1 byte for the shape,
// then one decision after the other.
//
// What a side delivers is what its peer wrote for as long as nothing that reaches this side has
// been forged, whatever is done to the other. While nothing is forged nothing fails, and in the end
// all of it arrives. Whatever is forged, offsets stay in order and memory within its bounds.
#include <array>

#include "tests/fuzz/pipe_world.hpp"

namespace backedpipe::fuzz {
namespace {

constexpr std::array<PipeOptions, 4> kShapes{{
    {.replay_buffer_bytes = 256, .initial_window_bytes = 64, .max_window_bytes = 256},
    {.replay_buffer_bytes = 100, .initial_window_bytes = 40, .max_window_bytes = 80},
    {.replay_buffer_bytes = 17, .initial_window_bytes = 1, .max_window_bytes = 1},
    {.replay_buffer_bytes = 4096, .initial_window_bytes = 512, .max_window_bytes = 4096},
}};

void run(FuzzInput input) {
  World world(kShapes[input.byte() % kShapes.size()]);
  while (!input.empty())
    world.step(input);
  world.heal();
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
