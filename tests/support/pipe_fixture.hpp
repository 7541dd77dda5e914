// Shared by the tests of the pipe: a pool over an arena of small segments, text and frames as
// bytes, one pipe seen from its link, and two pipes pumped against each other through a byte link
// in virtual time. Nothing here reads a clock or uses a random number without a seed.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/errc.hpp>
#include <gtest/gtest.h>

#include "pipe/backed_pipe.hpp"

namespace backedpipe {

// How failed expectations print it.
inline void PrintTo(PipeState state, std::ostream* out) {
  *out << name(state);
}

}  // namespace backedpipe

namespace backedpipe::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint at(Duration since_start) {
  return TimePoint{} + since_start;
}

// --- bytes

inline ConstBytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string text_of(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string text_of(std::span<const ConstBytes> pieces) {
  std::string text;
  for (const ConstBytes piece : pieces)
    text += text_of(piece);
  return text;
}

// The bytes [offset, offset + count) of an endless stream. Neighbouring bytes differ, and so do
// bytes that are a segment or a window apart.
inline std::string stream_text(std::uint64_t offset, std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t mixed = (offset + i + 1) * 0x9E3779B97F4A7C15U;
    text[i] = static_cast<char>(mixed >> 56);
  }
  return text;
}

// --- results

template <typename T>
testing::AssertionResult fails_with(const Result<T>& result, Reason reason) {
  if (result.has_value()) return testing::AssertionFailure() << "it succeeded";
  if (reason_of(result.error()) == reason) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "it failed with: " << result.error().message();
}

template <typename T>
testing::AssertionResult fails_with(const Result<T>& result, boost::system::errc::errc_t error) {
  if (result.has_value()) return testing::AssertionFailure() << "it succeeded";
  if (result.error() == make_error_code(error)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "it failed with: " << result.error().message();
}

// --- memory

class ArenaPool {
 public:
  explicit ArenaPool(std::size_t segment_count = 64, std::size_t segment_bytes = 16)
      : arena_(segment_count * segment_bytes), pool_(arena_, segment_bytes) {}

  SegmentPool& operator*() { return pool_; }
  SegmentPool* operator->() { return &pool_; }

 private:
  std::vector<std::byte> arena_;
  SegmentPool pool_;
};

// The bytes a ring holds from `offset` on.
inline std::string held_text(const RingBuffer& ring, std::uint64_t offset) {
  std::string text(static_cast<std::size_t>(ring.end() - offset), '\0');
  EXPECT_TRUE(ring.copy(offset, std::as_writable_bytes(std::span(text))).has_value());
  return text;
}

// --- frames

struct SeenFrame {
  FrameType type = FrameType::ack;
  std::uint64_t acknowledgement = 0;
  std::uint64_t value = 0;
  std::string payload;

  friend bool operator==(const SeenFrame&, const SeenFrame&) = default;
};

inline void PrintTo(const SeenFrame& frame, std::ostream* out) {
  *out << "{type " << static_cast<int>(frame.type) << ", acknowledgement " << frame.acknowledgement
       << ", value " << frame.value << ", payload \"" << frame.payload << "\"}";
}

inline std::string frame_text(FrameType type, std::uint64_t acknowledgement,
                              std::uint64_t value = 0, std::string_view payload = {}) {
  std::array<std::byte, kMaxFramePrefixBytes> prefix;
  const std::size_t size = encode({type, acknowledgement, value}, payload.size(), prefix);
  return text_of(ConstBytes(prefix).first(size)) + std::string(payload);
}

inline std::string data_frame(std::uint64_t offset, std::string_view payload,
                              std::uint64_t acknowledgement = 0) {
  return frame_text(FrameType::data, acknowledgement, offset, payload);
}

// The frames in the bytes of a link, which must end at a frame's end.
inline std::vector<SeenFrame> frames_in(std::string_view link_text) {
  std::vector<SeenFrame> seen;
  FrameDecoder decoder;
  ConstBytes input = bytes_of(link_text);
  while (!input.empty()) {
    const auto event = decoder.next(input);
    if (!event || !*event) {
      ADD_FAILURE() << "not a whole number of frames";
      break;
    }
    const Frame& frame = (*event)->frame;
    seen.push_back({frame.type, frame.acknowledgement, frame.value, text_of((*event)->payload)});
  }
  return seen;
}

inline std::vector<SeenFrame> only(FrameType type, const std::vector<SeenFrame>& frames) {
  std::vector<SeenFrame> chosen;
  std::copy_if(frames.begin(), frames.end(), std::back_inserter(chosen),
               [type](const SeenFrame& frame) { return frame.type == type; });
  return chosen;
}

// What a pipe puts on a link when it has nothing but this to say.
inline std::vector<SeenFrame> just(FrameType type, std::uint64_t acknowledgement,
                                   std::uint64_t value = 0) {
  return {{type, acknowledgement, value, ""}};
}

// The stream's bytes among the frames, in the order they were sent.
inline std::string payload_of(const std::vector<SeenFrame>& frames) {
  std::string payload;
  for (const SeenFrame& frame : frames)
    payload += frame.payload;
  return payload;
}

// --- one pipe

inline std::size_t write(BackedPipe& pipe, std::string_view text) {
  return pipe.write(bytes_of(text));
}

// Everything the pipe offers to its link, without taking any of it.
inline std::string offered(BackedPipe& pipe, TimePoint now) {
  std::array<ConstBytes, 256> pieces;
  const std::size_t count = pipe.outgoing(now, pieces);
  return text_of(std::span(pieces).first(count));
}

// The link takes at most `most` bytes, in one go.
inline std::string take(BackedPipe& pipe, TimePoint now, std::size_t most) {
  std::string text = offered(pipe, now);
  text.resize(std::min(text.size(), most));
  if (!text.empty()) pipe.sent(pipe.generation(), text.size());
  return text;
}

// The link takes all output, filling after filling.
inline std::string take_all(BackedPipe& pipe, TimePoint now) {
  std::string all;
  for (std::string text; !(text = take(pipe, now, SIZE_MAX)).empty();)
    all += text;
  return all;
}

inline std::vector<SeenFrame> take_frames(BackedPipe& pipe, TimePoint now = at(seconds(0))) {
  return frames_in(take_all(pipe, now));
}

inline Result<std::size_t> receive(BackedPipe& pipe, std::string_view link_text,
                                   TimePoint now = at(seconds(0))) {
  return pipe.receive(pipe.generation(), bytes_of(link_text), now);
}

inline std::string deliverable_text(const BackedPipe& pipe) {
  std::array<ConstBytes, 256> pieces;
  const std::size_t count = pipe.deliverable(pieces);
  return text_of(std::span(pieces).first(count));
}

// The application takes at most `most` bytes.
inline std::string deliver(BackedPipe& pipe, TimePoint now = at(seconds(0)),
                           std::size_t most = SIZE_MAX) {
  std::string text = deliverable_text(pipe);
  text.resize(std::min(text.size(), most));
  if (!text.empty()) pipe.delivered(text.size(), now);
  return text;
}

// The position of a peer that has received and delivered `received`, and takes data up to
// `window_limit`.
inline Position peer_at(std::uint64_t received, std::uint64_t window_limit = 1 << 20) {
  return {.delivered = received, .received = received, .window_limit = window_limit};
}

inline LinkError link_error(std::uint64_t generation,
                            LinkError::Component component = LinkError::Component::reader) {
  return {component, generation, make_error_code(boost::system::errc::connection_reset)};
}

// Small enough that a few dozen bytes close a window and fill a buffer.
inline constexpr PipeOptions kSmallPipe{
    .replay_buffer_bytes = 256, .initial_window_bytes = 64, .max_window_bytes = 256};

// One pipe whose peer is the test.
class OnePipe : public testing::Test {
 protected:
  // Attaches a link to a peer at this position, and discards the pipe's first frames.
  void attach(const Position& peer = peer_at(0)) {
    ASSERT_TRUE(pipe_.attach(pipe_.generation() + 1, peer, at(seconds(0))).has_value());
    take_all(pipe_, at(seconds(0)));
  }

  // The link is lost.
  void lose_link() { ASSERT_TRUE(pipe_.detach(link_error(pipe_.generation()))); }

  ArenaPool pool_;
  BackedPipe pipe_{*pool_, kSmallPipe};
};

// --- two pipes

// One end of a pair: a pipe, its own pool, and an application. The application writes its text as
// far as the pipe takes it, and reads unless told not to.
class PipeEnd {
 public:
  PipeEnd(const PipeOptions& options, std::size_t segment_count, std::size_t segment_bytes)
      : options_(options), segment_count_(segment_count), segment_bytes_(segment_bytes) {
    start_anew();
  }

  BackedPipe& operator*() { return *pipe_; }
  BackedPipe* operator->() { return &*pipe_; }
  SegmentPool& pool() { return **pool_; }

  void write(std::string_view text) { unwritten_ += text; }
  void finish() { finishing_ = true; }
  void read(bool reads) { reads_ = reads; }
  const std::string& received() const { return received_; }
  // How often the application has got the end of the stream.
  int ends() const { return ends_; }

  // The application reads and writes once; true if it did anything.
  bool run(TimePoint now) {
    bool moved = false;
    const std::size_t written = pipe_->write(bytes_of(unwritten_));
    unwritten_.erase(0, written);
    if (written > 0) moved = true;
    if (finishing_ && unwritten_.empty() && !pipe_->writer().finished()) {
      pipe_->finish();
      moved = true;
    }
    if (!reads_) return moved;
    const std::string text = deliver(*pipe_, now);
    received_ += text;
    if (pipe_->end_due()) {
      ++ends_;
      pipe_->end_delivered(now);
      moved = true;
    }
    return moved || !text.empty();
  }

  // Replaces the process: the pipe goes on from its snapshot, in new memory.
  void move_to_new_process() {
    const std::vector<std::byte> snapshot = pipe_->snapshot();
    start_anew();
    ASSERT_TRUE(pipe_->restore(snapshot).has_value());
  }

 private:
  void start_anew() {
    pipe_.reset();
    pool_.emplace(segment_count_, segment_bytes_);
    pipe_.emplace(**pool_, options_);
  }

  PipeOptions options_;
  std::size_t segment_count_;
  std::size_t segment_bytes_;
  std::optional<ArenaPool> pool_;
  std::optional<BackedPipe> pipe_;
  std::string unwritten_;
  std::string received_;
  int ends_ = 0;
  bool finishing_ = false;
  bool reads_ = true;
};

class PipePair {
 public:
  struct Shape {
    std::size_t fragment_bytes = 7;  // moved at a time
    std::size_t in_flight_bytes = 64;
    Duration step = milliseconds(1);
    PipeOptions pipe = kSmallPipe;
    std::size_t segment_count = 64;
    std::size_t segment_bytes = 16;
  };

  PipePair() : PipePair(Shape{}) {}
  explicit PipePair(const Shape& shape)
      : client(shape.pipe, shape.segment_count, shape.segment_bytes),
        server(shape.pipe, shape.segment_count, shape.segment_bytes),
        shape_(shape) {}

  PipeEnd client;
  PipeEnd server;

  TimePoint now() const { return now_; }

  // Attaches a new link on both sides, as after a handshake.
  void connect() {
    const auto generation = client->connect();
    ASSERT_TRUE(generation.has_value());
    ASSERT_TRUE(server->attach(*generation, client->take_position(), now_).has_value());
    ASSERT_TRUE(client->attach(*generation, server->take_position(), now_).has_value());
  }

  // The link breaks; both sides notice, and the bytes in flight are lost.
  void cut() {
    client->detach(link_error(client->generation()));
    server->detach(link_error(server->generation(), LinkError::Component::writer));
    to_client_.clear();
    to_server_.clear();
  }

  // One turn of both applications and both directions; true if anything moved.
  bool step() {
    now_ += shape_.step;
    client->tick(now_);
    server->tick(now_);
    bool moved = client.run(now_);
    moved = server.run(now_) || moved;
    moved = carry(*client, *server, to_server_) || moved;
    return carry(*server, *client, to_client_) || moved;
  }

  // Runs until nothing moves and no deadline is pending. False if `most_steps` were not enough.
  bool run(int most_steps = 200000) {
    for (int i = 0; i < most_steps; ++i) {
      if (!step() && !client->deadline() && !server->deadline()) return true;
    }
    return false;
  }

  // How many bytes the links have carried so far, in both directions.
  std::size_t carried_bytes() const { return carried_bytes_; }

 private:
  bool carry(BackedPipe& from, BackedPipe& to, std::deque<char>& in_flight) {
    const std::size_t room =
        std::min(shape_.fragment_bytes, shape_.in_flight_bytes - in_flight.size());
    const std::string taken = take(from, now_, room);
    in_flight.insert(in_flight.end(), taken.begin(), taken.end());
    carried_bytes_ += taken.size();

    const auto count =
        static_cast<std::ptrdiff_t>(std::min(shape_.fragment_bytes, in_flight.size()));
    const std::string fragment(in_flight.begin(), in_flight.begin() + count);
    if (fragment.empty()) return !taken.empty();
    const auto received = receive(to, fragment, now_);
    EXPECT_TRUE(received.has_value()) << received.error().message();
    if (!received) return false;
    in_flight.erase(in_flight.begin(), in_flight.begin() + static_cast<std::ptrdiff_t>(*received));
    return *received > 0 || !taken.empty();
  }

  Shape shape_;
  TimePoint now_ = at(seconds(1));
  std::deque<char> to_client_;
  std::deque<char> to_server_;
  std::size_t carried_bytes_ = 0;
};

// Both directions have come to their end, once, with every byte.
inline void expect_all_arrived(PipePair& pair, std::string_view at_server,
                               std::string_view at_client) {
  EXPECT_EQ(pair.server.received(), at_server);
  EXPECT_EQ(pair.client.received(), at_client);
  EXPECT_EQ(pair.client.ends(), 1);
  EXPECT_EQ(pair.server.ends(), 1);
  EXPECT_TRUE(pair.client->done() && pair.server->done());
}

}  // namespace backedpipe::test
