// FrameDecoder on arbitrary bytes: how a stream is cut into pieces, and what of a DATA piece is put
// back, makes no difference to what comes out. Input: 4 bytes of piece sizes, 1 byte of how much is
// put back, the stream.
#include "proto/frame.hpp"

#include <array>
#include <vector>

#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {
namespace {

struct Seen {
  FrameType type;
  std::uint64_t acknowledgement;
  std::uint64_t value;
  std::vector<std::byte> payload;

  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Outcome {
  std::vector<Seen> frames;
  bool failed = false;

  // A piece that goes on where the one before it ended becomes one with it.
  void add(const FrameDecoder::Event& event, std::size_t taken) {
    const Frame& frame = event.frame;
    const auto payload = event.payload.first(taken);
    if (frame.type == FrameType::data && !frames.empty()) {
      Seen& last = frames.back();
      if (last.type == FrameType::data && last.acknowledgement == frame.acknowledgement &&
          last.value + last.payload.size() == frame.value) {
        last.payload.insert(last.payload.end(), payload.begin(), payload.end());
        return;
      }
    }
    frames.push_back(
        {frame.type, frame.acknowledgement, frame.value, {payload.begin(), payload.end()}});
  }
};

void check_event(const FrameDecoder::Event& event) {
  require((event.frame.type == FrameType::data) == !event.payload.empty(),
          "DATA, and nothing else, carries payload");
  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  std::span<const std::byte> encoded =
      std::span(prefix).first(encode(event.frame, event.payload.size(), prefix));
  FrameDecoder decoder;
  auto again = decoder.next(encoded);
  if (event.frame.type == FrameType::data) {
    require(again && !*again && encoded.empty(), "a DATA frame's prefix is whole");
    encoded = event.payload;
    again = decoder.next(encoded);
  }
  require(again && *again && encoded.empty(), "what was decoded can be encoded");
  const Frame& frame = (*again)->frame;
  require(frame.type == event.frame.type && frame.acknowledgement == event.frame.acknowledgement &&
              frame.value == event.frame.value && (*again)->payload.size() == event.payload.size(),
          "encoding and decoding changes nothing");
}

Outcome decode_whole(std::span<const std::byte> stream) {
  Outcome outcome;
  FrameDecoder decoder;
  const std::size_t size = stream.size();
  std::size_t events = 0;
  for (;;) {
    const auto event = decoder.next(stream);
    outcome.failed = !event;
    if (!event || !*event) break;
    require(++events <= size, "never more events than bytes");
    check_event(**event);
    outcome.add(**event, (*event)->payload.size());
  }
  return outcome;
}

Outcome decode_split(std::span<const std::byte> stream, Splitter& splitter,
                     std::uint8_t kept_back) {
  Outcome outcome;
  FrameDecoder decoder;
  while (!stream.empty()) {
    const auto piece = stream.first(splitter.next(stream.size()));
    auto input = piece;
    std::size_t put_back = 0;
    for (;;) {
      const auto event = decoder.next(input);
      outcome.failed = !event;
      if (!event) return outcome;
      if (!*event) {
        require(input.empty(), "asks for more only when it has taken all");
        break;
      }
      const std::size_t payload = (*event)->payload.size();
      if (payload > 1) put_back = std::min<std::size_t>(kept_back, payload - 1);
      outcome.add(**event, payload - put_back);
      if (put_back > 0) {
        decoder.put_back(put_back);
        break;
      }
    }
    stream = stream.subspan(piece.size() - input.size() - put_back);
  }
  return outcome;
}

void run(FuzzInput input) {
  Splitter splitter(input);
  const std::uint8_t kept_back = input.byte();
  const auto stream = input.rest();
  const Outcome whole = decode_whole(stream);
  const Outcome split = decode_split(stream, splitter, kept_back);
  require(whole.failed == split.failed, "a stream is wrong however it is split");
  require(whole.frames == split.frames, "the same frames however it is split");
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
