// BackedPipe::restore and Session::restore: any bytes are refused or give a state that is written
// out the same for ever, and that can go on. Input: 1 byte that chooses the kind and where the
// snapshot comes from: the fuzzer's bytes as they are, or a real one with some bytes replaced; then
// what the restored one meets.
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "session/session.hpp"
#include "tests/fuzz/session_life.hpp"

namespace backedpipe::fuzz {
namespace {

constexpr std::size_t kSegmentBytes = 64;
constexpr PipeOptions kPipeOptions{
    .replay_buffer_bytes = 2048, .initial_window_bytes = 256, .max_window_bytes = 1024};

SessionOptions session_options() {
  SessionOptions options;
  options.pipe = kPipeOptions;
  return options;
}

struct Memory {
  std::vector<std::byte> arena = std::vector<std::byte>(64 * kSegmentBytes);
  SegmentPool pool{arena, kSegmentBytes};
};

BackedPipe new_pipe(SegmentPool& pool) {
  return {pool, kPipeOptions};
}

Session new_session(SegmentPool& pool) {
  return {Session::Identity{.id = {}, .role = Role::client, .service = "ssh"}, pool,
          session_options(), 1, TimePoint{}};
}

// --- a real state to begin from

void fill(BackedPipe& pipe, FuzzInput& input) {
  const TimePoint now{};
  const auto link = input.byte();
  if ((link & 1) != 0) {
    const std::uint64_t generation = pipe.generation() + 1 + input.byte();
    if (pipe.attach(generation, {.delivered = 0, .received = 0, .window_limit = input.byte()},
                    now)) {
      pipe.write(input.take(input.byte()));
      std::array<ConstBytes, 8> pieces;
      const std::size_t used = pipe.outgoing(now, pieces);
      std::size_t size = 0;
      for (std::size_t i = 0; i < used; ++i)
        size += pieces[i].size();
      pipe.sent(pipe.generation(), std::min<std::size_t>(size, input.number(2)));
      std::array<std::byte, kMaxFramePrefixBytes> prefix;
      const auto payload = input.take(input.byte());
      if (!payload.empty()) {
        const std::size_t prefix_bytes = encode({FrameType::data, 0, 0}, payload.size(), prefix);
        if (pipe.receive(pipe.generation(), ConstBytes(prefix).first(prefix_bytes), now) &&
            pipe.receive(pipe.generation(), payload, now)) {
          pipe.delivered(std::min<std::size_t>(pipe.reader().ring().size(), input.byte()), now);
        }
      }
    }
  }
  pipe.write(input.take(input.byte()));
  if ((link & 2) != 0) pipe.finish();
  if ((link & 12) == 12) pipe.reset(Reason::application_reset);
  if ((link & 48) == 48) pipe.close();
}

void replace_some(std::vector<std::byte>& bytes, FuzzInput& input) {
  for (std::uint8_t left = input.byte() % 8; left > 0; --left) {
    // The numbers are at the front, the data is at the back.
    const std::size_t at = input.byte() % std::min<std::size_t>(bytes.size(), 160);
    bytes[at] = static_cast<std::byte>(input.byte());
  }
  if (input.byte() % 16 == 1) bytes.resize(input.number(2) % (bytes.size() + 1));
}

// --- what a restored state meets

void check(const BackedPipe& pipe, const Memory& memory) {
  const RingBuffer& out = pipe.writer().ring();
  const RingBuffer& in = pipe.reader().ring();
  require(memory.pool.segments_in_use() == out.segment_count() + in.segment_count(),
          "every segment belongs to a ring");
  require(
      out.size() <= kPipeOptions.replay_buffer_bytes && in.size() <= kPipeOptions.max_window_bytes,
      "what is restored is within the limits");
}

void go_on(BackedPipe& pipe, const Memory& memory, FuzzInput& input) {
  TimePoint now{};
  while (!input.empty()) {
    switch (input.byte() % 8) {
      case 0:
        if (pipe.attach(near(pipe.generation(), input), peer_position(pipe, input), now)) {
          require(pipe.state() == PipeState::connected, "attached is connected");
        }
        break;
      case 1:
        if (!pipe.receive(pipe.generation(), some_frame(pipe, input), now)) {
          if (pipe.violates_session()) pipe.reset(Reason::protocol_error);
          pipe.detach({LinkError::Component::reader, pipe.generation(), {}});
        }
        break;
      case 2:
        pipe.sent(pipe.generation(),
                  std::min<std::size_t>(offered_bytes(pipe, now), input.number(2)));
        break;
      case 3: {
        const std::size_t count = std::min<std::size_t>(pipe.reader().ring().size(), input.byte());
        if (count > 0) pipe.delivered(count, now);
        if (pipe.end_due()) pipe.end_delivered(now);
        break;
      }
      case 4:
        pipe.write(input.take(input.byte()));
        break;
      case 5:
        pipe.finish();
        break;
      case 6:
        now += std::chrono::milliseconds(input.byte());
        pipe.tick(now);
        break;
      default:
        pipe.detach({LinkError::Component::writer, pipe.generation(), {}});
        break;
    }
    check(pipe, memory);
  }
}

void go_on(Session& session, const Memory& memory, FuzzInput& input) {
  SessionLife life(session, TcpMoved{});
  session.start(TimePoint{});
  while (!input.empty() && !session.over()) {
    life.step(input);
    check(session.pipe(), memory);
  }
  session.reset(Reason::closed_by_operator);
  run_actions(session);
}

// --- both kinds

template <typename Make>
void restore_and_go_on(ConstBytes snapshot, FuzzInput& input, Make make) {
  Memory memory;
  {
    auto restored = make(memory.pool);
    if (!restored.restore(snapshot)) return;
    const std::vector<std::byte> state = restored.snapshot();

    Memory more_memory;
    auto again = make(more_memory.pool);
    require(again.restore(state).has_value(), "a restored state can be restored");
    require(again.snapshot() == state, "a restored state is the same state");
    go_on(restored, memory, input);
  }
  require(memory.pool.segments_in_use() == 0, "all memory is given back");
}

void run(FuzzInput input) {
  const std::uint8_t kind = input.byte();
  const bool is_session = (kind & 1) != 0;
  std::vector<std::byte> snapshot;
  if ((kind & 2) != 0) {
    Memory memory;
    BackedPipe pipe = new_pipe(memory.pool);
    fill(pipe, input);
    if (is_session) {
      SessionRecord record = new_session(memory.pool).record();
      record.pipe = pipe.record();
      snapshot = encode(record, pipe.held().bytes());
    } else {
      snapshot = pipe.snapshot();
    }
    replace_some(snapshot, input);
  } else {
    const auto bytes = input.take(input.number(2));
    snapshot.assign(bytes.begin(), bytes.end());
  }
  is_session ? restore_and_go_on(snapshot, input, new_session)
             : restore_and_go_on(snapshot, input, new_pipe);
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
