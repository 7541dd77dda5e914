// The frame codec against the byte vectors, and against links that split, repeat or damage the
// bytes.
#include "proto/frame.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/vectors.hpp"

namespace {

std::size_t allocation_count = 0;

}  // namespace

// Counts the allocations of this executable, to show that the decoder makes none. Not inlined: g++
// would warn of free() where it sees only one half of the pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocation_count;
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace backedpipe {
namespace {

using Bytes = std::vector<std::byte>;
using Input = std::span<const std::byte>;

// A whole frame, its payload put together again.
struct Whole {
  FrameType type = FrameType::ack;
  std::uint64_t acknowledgement = 0;
  std::uint64_t value = 0;
  Bytes payload;

  friend bool operator==(const Whole&, const Whole&) = default;
};

void PrintTo(const Whole& whole, std::ostream* out) {
  *out << "frame " << static_cast<int>(whole.type) << " ack " << whole.acknowledgement << " value "
       << whole.value << " and " << whole.payload.size() << " bytes";
}

FrameType type_of(const std::string& text) {
  static constexpr std::array<std::string_view, 9> kNames{
      "", "data", "fin", "ack", "window", "ping", "pong", "reset", "parting"};
  const auto found = std::find(kNames.begin() + 1, kNames.end(), text);
  if (found == kNames.end()) throw std::runtime_error("no such type: " + text);
  return static_cast<FrameType>(found - kNames.begin());
}

Whole frame_of(const nlohmann::json& vector) {
  Whole whole{.type = type_of(vector.at("type")),
              .acknowledgement = vectors::number(vector, "acknowledgement"),
              .value = 0,
              .payload = {}};
  for (const char* field : {"offset", "limit", "token", "milliseconds"}) {
    if (vector.contains(field)) whole.value = vectors::number(vector, field);
  }
  if (vector.contains("code")) whole.value = vector.at("code").get<std::uint16_t>();
  if (vector.contains("payload")) whole.payload = vectors::bytes(vector, "payload");
  return whole;
}

Bytes encoded(const Whole& whole) {
  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  const std::size_t size =
      encode({whole.type, whole.acknowledgement, whole.value}, whole.payload.size(), prefix);
  Bytes bytes(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(size));
  bytes.insert(bytes.end(), whole.payload.begin(), whole.payload.end());
  return bytes;
}

// Puts the pieces of DATA together again where they follow on one another.
class Collector {
 public:
  void add(const FrameDecoder::Event& event) {
    const bool data = event.frame.type == FrameType::data;
    EXPECT_EQ(data, !event.payload.empty());
    if (data && !frames.empty() && frames.back().type == FrameType::data &&
        frames.back().acknowledgement == event.frame.acknowledgement &&
        frames.back().value + frames.back().payload.size() == event.frame.value) {
      auto& payload = frames.back().payload;
      payload.insert(payload.end(), event.payload.begin(), event.payload.end());
      return;
    }
    frames.push_back({event.frame.type,
                      event.frame.acknowledgement,
                      event.frame.value,
                      {event.payload.begin(), event.payload.end()}});
  }

  std::vector<Whole> frames;
};

struct Outcome {
  std::vector<Whole> frames;
  std::optional<Reason> error;
  std::size_t taken_bytes = 0;  // up to the error
};

// Feeds `bytes` in pieces that end at `cuts` and at the end.
Outcome decode(const Bytes& bytes, const std::vector<std::size_t>& cuts = {}) {
  FrameDecoder decoder;
  Collector collector;
  Outcome outcome;
  std::size_t from = 0;
  std::vector<std::size_t> ends = cuts;
  ends.push_back(bytes.size());
  for (const std::size_t end : ends) {
    Input piece = Input(bytes).subspan(from, end - from);
    while (true) {
      const std::size_t before = piece.size();
      const auto event = decoder.next(piece);
      outcome.taken_bytes += before - piece.size();
      if (!event) {
        outcome.error = reason_of(event.error());
        outcome.frames = std::move(collector.frames);
        return outcome;
      }
      if (!*event) break;
      collector.add(**event);
    }
    EXPECT_TRUE(piece.empty());
    from = end;
  }
  outcome.frames = std::move(collector.frames);
  return outcome;
}

std::vector<std::size_t> every_byte(std::size_t size) {
  std::vector<std::size_t> cuts;
  for (std::size_t cut = 1; cut < size; ++cut)
    cuts.push_back(cut);
  return cuts;
}

TEST(Frame, ValidVectorsDecodeToTheirFields) {
  for (const auto& vector : vectors::load("frames_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Outcome outcome = decode(vectors::bytes(vector));
    ASSERT_FALSE(outcome.error);
    ASSERT_EQ(outcome.frames.size(), 1U);
    EXPECT_EQ(outcome.frames[0], frame_of(vector));
    if (vector.contains("reason")) {
      const Frame frame{FrameType::reset, 0, outcome.frames[0].value};
      EXPECT_EQ(name(frame.reason()), vector.at("reason").get<std::string>());
    }
  }
}

TEST(Frame, FieldsEncodeToTheBytesOfTheirVector) {
  for (const auto& vector : vectors::load("frames_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    EXPECT_EQ(encoded(frame_of(vector)), vectors::bytes(vector));
  }
}

TEST(Frame, WhereAFrameIsSplitDoesNotMatter) {
  for (const auto& vector : vectors::load("frames_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    const std::vector<Whole> expected{frame_of(vector)};
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      ASSERT_EQ(decode(bytes, {cut}).frames, expected) << "cut at " << cut;
    }
    EXPECT_EQ(decode(bytes, every_byte(bytes.size())).frames, expected);
  }
}

TEST(Frame, AFrameLeavesTheBytesBehindIt) {
  for (const auto& vector : vectors::load("frames_valid.json")) {
    SCOPED_TRACE(vector.at("name"));
    Bytes bytes = vectors::bytes(vector);
    const std::size_t size = bytes.size();
    bytes.resize(size + 5, std::byte{0xEE});
    FrameDecoder decoder;
    Input input(bytes);
    const auto event = decoder.next(input);
    ASSERT_TRUE(event && *event);
    EXPECT_EQ(input.data(), bytes.data() + size);
    EXPECT_EQ(input.size(), 5U);
  }
}

TEST(Frame, FramesFollowOneAnotherWithoutAGap) {
  Bytes stream;
  std::vector<Whole> expected;
  for (const auto& vector : vectors::load("frames_valid.json")) {
    const Bytes bytes = vectors::bytes(vector);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    expected.push_back(frame_of(vector));
  }
  EXPECT_EQ(decode(stream).frames, expected);
  EXPECT_EQ(decode(stream, every_byte(stream.size())).frames, expected);
}

TEST(Frame, InvalidVectorsAreRefused) {
  for (const auto& vector : vectors::load("frames_invalid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Outcome outcome = decode(vectors::bytes(vector));
    EXPECT_TRUE(outcome.frames.empty());
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(name(*outcome.error), vector.at("error").get<std::string>());
  }
}

TEST(Frame, InvalidFramesAreRefusedBeforeTheirBodyIsTaken) {
  for (const auto& vector : vectors::load("frames_invalid.json")) {
    SCOPED_TRACE(vector.at("name"));
    const Bytes bytes = vectors::bytes(vector);
    const Outcome trickled = decode(bytes, every_byte(bytes.size()));
    ASSERT_TRUE(trickled.error);
    EXPECT_EQ(trickled.taken_bytes, vector.at("error_after_bytes").get<std::size_t>());
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      const Outcome outcome = decode(bytes, {cut});
      ASSERT_EQ(outcome.error, trickled.error) << "cut at " << cut;
      ASSERT_EQ(outcome.taken_bytes, trickled.taken_bytes) << "cut at " << cut;
    }
  }
}

TEST(Frame, EveryTypeNotListedIsRefused) {
  for (unsigned type = 0; type < 256; ++type) {
    if (type >= 1 && type <= 8) continue;
    for (const unsigned body : {0U, 2U, 8U, 9U}) {
      Bytes bytes(kFrameHeaderBytes);
      bytes[0] = static_cast<std::byte>(type);
      bytes[7] = static_cast<std::byte>(body);
      EXPECT_EQ(decode(bytes).error, Reason::protocol_error) << type;
    }
  }
}

TEST(Frame, EveryReservedBitIsRefused) {
  for (std::size_t bit = 0; bit < 24; ++bit) {
    Bytes bytes = encoded({FrameType::ack, 5, 0, {}});
    bytes[1 + bit / 8] |= std::byte{1} << static_cast<int>(bit % 8);
    EXPECT_EQ(decode(bytes).error, Reason::protocol_error) << bit;
  }
}

TEST(Frame, AGoodFrameBeforeABadOneIsStillHandedOut) {
  const Whole ping{FrameType::ping, 1, 2, {}};
  Bytes bytes = encoded(ping);
  bytes.resize(bytes.size() + kFrameHeaderBytes, std::byte{0xFF});
  const Outcome outcome = decode(bytes);
  EXPECT_EQ(outcome.frames, std::vector<Whole>{ping});
  EXPECT_EQ(outcome.error, Reason::protocol_error);
}

TEST(Frame, DataIsHandedOutAsItComesWithTheOffsetOfEachPiece) {
  Whole data{FrameType::data, 9, 1'000, Bytes(100)};
  for (std::size_t i = 0; i < data.payload.size(); ++i)
    data.payload[i] = static_cast<std::byte>(i);
  const Bytes bytes = encoded(data);

  FrameDecoder decoder;
  Input prefix = Input(bytes).first(kMaxFramePrefixBytes);
  const auto nothing = decoder.next(prefix);
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing) << "a piece without payload would say nothing";

  std::size_t at = 0;
  for (const std::size_t size : {1U, 2U, 3U, 50U, 44U}) {
    Input input = Input(bytes).subspan(kMaxFramePrefixBytes + at, size);
    const std::byte* const where = input.data();
    const auto event = decoder.next(input);
    ASSERT_TRUE(event && *event);
    EXPECT_EQ((*event)->frame.type, FrameType::data);
    EXPECT_EQ((*event)->frame.acknowledgement, 9U);
    EXPECT_EQ((*event)->frame.value, 1'000 + at);
    EXPECT_EQ((*event)->payload.data(), where) << "payload is not copied";
    EXPECT_EQ((*event)->payload.size(), size);
    EXPECT_TRUE(input.empty());
    at += size;
  }
  ASSERT_EQ(at, data.payload.size());

  // The next frame begins right here.
  const Bytes next = encoded({FrameType::ack, 10, 0, {}});
  Input input(next);
  const auto event = decoder.next(input);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->frame.type, FrameType::ack);
}

TEST(Frame, WhatWasPutBackIsHandedOutAgain) {
  const Whole data{FrameType::data, 0, 500, Bytes(10, std::byte{7})};
  const Bytes bytes = encoded(data);
  for (std::size_t kept = 0; kept <= 10; ++kept) {
    FrameDecoder decoder;
    Input input(bytes);
    const auto first = decoder.next(input);
    ASSERT_TRUE(first && *first);
    ASSERT_EQ((*first)->payload.size(), 10U);
    decoder.put_back(10 - kept);

    Input rest = Input(bytes).last(10 - kept);
    const auto second = decoder.next(rest);
    ASSERT_TRUE(second);
    if (kept == 10) {
      EXPECT_FALSE(*second);
      continue;
    }
    ASSERT_TRUE(*second);
    EXPECT_EQ((*second)->frame.type, FrameType::data);
    EXPECT_EQ((*second)->frame.value, 500 + kept);
    EXPECT_EQ((*second)->payload.size(), 10 - kept);
  }
}

TEST(Frame, AMidwayPieceCanBePutBackToo) {
  const Whole data{FrameType::data, 3, 0, Bytes(20, std::byte{7})};
  const Bytes bytes = encoded(data);
  FrameDecoder decoder;
  Input first = Input(bytes).first(kMaxFramePrefixBytes + 12);
  ASSERT_TRUE(decoder.next(first));
  decoder.put_back(5);

  Input rest = Input(bytes).subspan(kMaxFramePrefixBytes + 7);
  const auto event = decoder.next(rest);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->frame.value, 7U);
  EXPECT_EQ((*event)->payload.size(), 13U);
  EXPECT_TRUE(rest.empty());
}

TEST(Frame, AnAnnouncedLengthCausesNoAllocation) {
  std::array<std::byte, kMaxFramePrefixBytes + 1> bytes{};
  encode({FrameType::data, 0, 0}, kMaxPayloadBytes, std::span(bytes).first<kMaxFramePrefixBytes>());
  FrameDecoder decoder;
  Input input(bytes);
  const std::size_t before = allocation_count;
  const auto event = decoder.next(input);
  const auto more = decoder.next(input);
  EXPECT_EQ(allocation_count, before);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->payload.size(), 1U);
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
  static_assert(sizeof(FrameDecoder) <= 128, "an idle link holds one of these");
}

TEST(Frame, TheLargestPayloadIsTakenAndOneByteMoreIsNot) {
  const Bytes bytes = encoded({FrameType::data, 1, 2, Bytes(kMaxPayloadBytes, std::byte{3})});
  const Outcome outcome = decode(bytes, {100, 70'000, 900'000});
  ASSERT_FALSE(outcome.error);
  ASSERT_EQ(outcome.frames.size(), 1U);
  EXPECT_EQ(outcome.frames[0].payload.size(), kMaxPayloadBytes);

  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  encode({FrameType::data, 1, 2}, kMaxPayloadBytes + 1, prefix);
  EXPECT_EQ(decode(Bytes(prefix.begin(), prefix.end())).error, Reason::protocol_error);
}

TEST(Frame, DataMayReachTheHighestOffsetButNotPassIt) {
  for (const std::size_t size : {1U, 2U, 1000U}) {
    const Bytes fits = encoded({FrameType::data, 0, UINT64_MAX - size, Bytes(size)});
    EXPECT_FALSE(decode(fits).error);
    EXPECT_FALSE(decode(fits, every_byte(fits.size())).error);
    const Bytes passes = encoded({FrameType::data, 0, UINT64_MAX - size + 1, Bytes(size)});
    const Outcome outcome = decode(passes);
    EXPECT_EQ(outcome.error, Reason::protocol_error);
    EXPECT_TRUE(outcome.frames.empty());
  }
}

TEST(Frame, NothingComesFromNothing) {
  FrameDecoder decoder;
  Input input;
  const auto event = decoder.next(input);
  ASSERT_TRUE(event);
  EXPECT_FALSE(*event);
}

Whole random_frame(std::mt19937_64& random) {
  Whole whole;
  whole.type = static_cast<FrameType>(1 + random() % 7);
  whole.acknowledgement = random() >> (random() % 64);
  whole.value = random() >> (random() % 64);
  if (whole.type == FrameType::ack) whole.value = 0;
  if (whole.type == FrameType::reset) whole.value &= 0xFFFF;
  if (whole.type == FrameType::data) {
    whole.payload.resize(1 + random() % 300);
    for (auto& byte : whole.payload)
      byte = static_cast<std::byte>(random() & 0xFF);
    whole.value = std::min<std::uint64_t>(whole.value, UINT64_MAX - whole.payload.size());
  }
  return whole;
}

TEST(Frame, RandomFramesSurviveTheRoundTrip) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 5'000; ++round) {
    const Whole whole = random_frame(random);
    const Bytes bytes = encoded(whole);
    ASSERT_EQ(decode(bytes, {random() % bytes.size()}).frames, std::vector<Whole>{whole});
  }
}

// A stream of frames with a few bytes damaged, in random pieces: either an error, or everything is
// taken, and it makes no difference how the bytes were split.
TEST(Frame, DamagedStreamsEndInAnErrorOrAreTakenWhole) {
  std::mt19937_64 random(20'240'301);
  for (int round = 0; round < 5'000; ++round) {
    Bytes bytes;
    for (std::size_t frames = 1 + random() % 8; frames > 0; --frames) {
      const Bytes frame = encoded(random_frame(random));
      bytes.insert(bytes.end(), frame.begin(), frame.end());
    }
    for (std::size_t changes = random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % bytes.size();
      if (random() % 4 == 0) {
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        bytes[at] ^= std::byte{1} << static_cast<int>(random() % 8);
      }
      if (bytes.empty()) break;
    }
    const Outcome whole = decode(bytes);
    std::vector<std::size_t> cuts;
    for (std::size_t cut = random() % 60; cut < bytes.size(); cut += random() % 60) {
      cuts.push_back(cut);
    }
    const Outcome pieces = decode(bytes, cuts);
    ASSERT_EQ(whole.error, pieces.error) << "round " << round;
    ASSERT_EQ(whole.frames, pieces.frames) << "round " << round;
    ASSERT_EQ(whole.taken_bytes, pieces.taken_bytes) << "round " << round;
    if (!whole.error) {
      ASSERT_EQ(whole.taken_bytes, bytes.size());
    }
  }
}

TEST(Frame, AReceiverThatPutsBackAtRandomStillGetsEveryByteOnce) {
  std::mt19937_64 random(3);
  Bytes stream;
  Bytes sent;
  std::uint64_t offset = 0;
  for (int frame = 0; frame < 400; ++frame) {
    Whole whole = random_frame(random);
    if (whole.type == FrameType::data) {
      whole.value = offset;
      offset += whole.payload.size();
      sent.insert(sent.end(), whole.payload.begin(), whole.payload.end());
    }
    const Bytes bytes = encoded(whole);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
  }

  FrameDecoder decoder;
  Bytes received;
  std::size_t from = 0;
  while (from < stream.size()) {
    Input input = Input(stream).subspan(from, std::min(stream.size() - from, 1 + random() % 100));
    const auto event = decoder.next(input);
    ASSERT_TRUE(event);
    from = static_cast<std::size_t>(input.data() - stream.data());
    if (!*event || (*event)->frame.type != FrameType::data) continue;
    ASSERT_EQ((*event)->frame.value, received.size());
    const std::size_t kept = random() % ((*event)->payload.size() + 1);
    const Input payload = (*event)->payload.first(kept);
    received.insert(received.end(), payload.begin(), payload.end());
    decoder.put_back((*event)->payload.size() - kept);
    from -= (*event)->payload.size() - kept;
  }
  EXPECT_EQ(received, sent);
}

}  // namespace
}  // namespace backedpipe
