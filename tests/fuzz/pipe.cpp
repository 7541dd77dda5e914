// Two BackedPipes against each other. The fuzzer decides what the applications do, how bytes are
// cut up on their way, when links break or are suspected, how far handshakes and candidates get,
// which process restarts, and which bytes of the links are forged. Input: 1 byte for the shape,
// then one decision after the other.
//
// What a side delivers is what its peer wrote for as long as nothing that reaches this side has
// been forged, whatever is done to the other. While nothing is forged nothing fails, and in the end
// all of it arrives. Whatever is forged, offsets stay in order and memory within its bounds.
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include <boost/system/errc.hpp>

#include "pipe/backed_pipe.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/placing.hpp"

namespace backedpipe::fuzz {
namespace {

constexpr std::array<PipeOptions, 4> kShapes{{
    {.replay_buffer_bytes = 256, .initial_window_bytes = 64, .max_window_bytes = 256},
    {.replay_buffer_bytes = 100, .initial_window_bytes = 40, .max_window_bytes = 80},
    {.replay_buffer_bytes = 17, .initial_window_bytes = 1, .max_window_bytes = 1},
    {.replay_buffer_bytes = 4096, .initial_window_bytes = 512, .max_window_bytes = 4096},
}};
constexpr std::size_t kSegmentBytes = 16;
constexpr std::size_t kSegmentCount = 32;

enum Side : std::size_t { kClient, kServer };

Side other(Side side) {
  return side == kClient ? kServer : kClient;
}

// Neighbouring places, and places a segment or a window apart, hold different bytes; so do the two
// directions.
std::byte byte_at(Side writer, std::uint64_t offset) {
  return static_cast<std::byte>((offset + 1 + 77 * writer) * 0x9E3779B97F4A7C15U >> 56);
}

boost::system::error_code connection_reset() {
  return make_error_code(boost::system::errc::connection_reset);
}

class End {
 public:
  explicit End(const PipeOptions& options) : options_(options) { start_anew(); }

  BackedPipe& operator*() { return *pipe_; }
  BackedPipe* operator->() { return &*pipe_; }
  const BackedPipe* operator->() const { return &*pipe_; }

  // The process is replaced; the pipe goes on from its snapshot.
  void restart() {
    const std::vector<std::byte> state = pipe_->snapshot();
    start_anew();
    require(pipe_->restore(state).has_value(), "a snapshot can be restored");
    require(pipe_->snapshot() == state, "a restored state is the same state");
  }

  void check() const {
    const BackedWriter& writer = pipe_->writer();
    const BackedReader& reader = pipe_->reader();
    require(writer.ring().size() <= options_.replay_buffer_bytes, "the replay buffer has a limit");
    require(reader.ring().size() <= options_.max_window_bytes, "the window has a limit");
    require(reader.window().size_bytes() <= options_.max_window_bytes, "the window has a limit");
    require(reader.delivered_sequence() <= reader.received_sequence(), "delivered is received");
    for (const RingBuffer* ring : {&writer.ring(), &reader.ring()}) {
      require(ring->segment_count() <= (ring->size() + 2 * kSegmentBytes - 2) / kSegmentBytes,
              "no more segments than the bytes need");
      require(!ring->empty() || ring->segment_count() == 0, "nothing held, no memory held");
    }
    require(
        pool_->segments_in_use() == writer.ring().segment_count() + reader.ring().segment_count(),
        "every segment belongs to a ring");
    const bool offsets_mean_something =
        !pipe_->resetting() && pipe_->state() != PipeState::closed && !was_reset;
    if (offsets_mean_something) {
      require(writer.acknowledged() <= writer.sent() && writer.sent() <= writer.highest_sent() &&
                  writer.highest_sent() <= writer.end(),
              "acknowledged, sent, ever sent, end: in this order");
    }
  }

  std::uint64_t written = 0;
  std::uint64_t delivered = 0;
  bool ended = false;      // the application was told of the end of the stream
  bool misled = false;     // something that reached this side was forged
  bool was_reset = false;  // its data was discarded at some time

 private:
  void start_anew() {
    pipe_.reset();
    arena_.assign(kSegmentCount * kSegmentBytes, std::byte{0xA5});
    pool_.emplace(arena_, kSegmentBytes);
    pipe_.emplace(*pool_, options_);
  }

  PipeOptions options_;
  std::vector<std::byte> arena_;
  std::optional<SegmentPool> pool_;
  std::optional<BackedPipe> pipe_;
};

// One TCP connection: what is on its way to each side.
struct Link {
  std::uint64_t generation;
  std::array<std::vector<std::byte>, 2> to;
};

class World {
 public:
  explicit World(const PipeOptions& options) : ends_{End(options), End(options)} {}

  void step(FuzzInput& input) {
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

  // Leaves the two alone on a good link; everything must arrive.
  void heal() {
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

 private:
  bool all_done() const { return ends_[kClient]->done() && ends_[kServer]->done(); }

  void check() const {
    for (const End& end : ends_)
      end.check();
  }

  Link* link_of(std::uint64_t generation) {
    for (Link& link : links_) {
      if (link.generation == generation) return &link;
    }
    return nullptr;
  }

  // --- applications

  void write(Side side, std::size_t count) {
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

  void deliver(Side side, std::size_t most) {
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

  void send(Side side, std::size_t most) {
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

  void receive(Side side, std::size_t most) {
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

  void connect() {
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

  // Another attempt beside the live link, which goes on until the candidate's path is ready.
  void dial_beside() {
    End& client = ends_[kClient];
    const bool possible = client->state() == PipeState::connected && !client->candidate();
    const std::uint64_t generation = client->generation();
    require(client->connect_beside().has_value() == possible, "one candidate beside a live link");
    require(client->generation() == generation, "a candidate leaves the live link as it is");
  }

  // The path of the candidate, or of an attempt that was one before its link broke, is ready.
  void say_hello() {
    End& client = ends_[kClient];
    if (client->candidate()) client->promote_candidate();
    const bool unsaid = link_of(client->generation()) == nullptr;
    if (client->state() == PipeState::reconnecting && unsaid) send_hello();
  }

  void send_hello() {
    End& client = ends_[kClient];
    while (links_.size() >= 3)
      links_.pop_front();
    links_.push_back({client->generation(), {}});
    hello_ = client->take_position();
    hello_at_ = now_;
    welcome_.reset();
  }

  // The server takes the HELLO.
  void accept() {
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

  // The client takes the WELCOME.
  void welcome() {
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

  void lose_link(Side side) {
    End& end = ends_[side];
    const bool connected = end->state() == PipeState::connected;
    const LinkError error{LinkError::Component::writer, end->generation(), connection_reset()};
    require(end->detach(error) == connected, "the first error of a link counts");
    require(!end->detach(error), "only the first error of a link counts");
  }

  // What belongs to another generation changes nothing.
  void call_late(Side side, FuzzInput& input) {
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

  // --- what should not happen

  void mislead(Side side) {
    forged_ = true;
    ends_[side].misled = true;
  }

  // Bytes on their way are changed, lost, repeated, or made up.
  void forge_bytes(Side side, FuzzInput& input) {
    Link* link = link_of(ends_[side]->generation());
    if (link == nullptr) return;
    mislead(side);
    auto& wire = link->to[side];
    const std::size_t at = wire.empty() ? 0 : input.byte() % wire.size();
    const auto place = wire.begin() + static_cast<std::ptrdiff_t>(at);
    switch (input.byte() % 3) {
      case 0:
        if (!wire.empty()) *place = static_cast<std::byte>(input.byte());
        break;
      case 1:
        wire.erase(place, place + std::min<std::ptrdiff_t>(input.byte(), wire.end() - place));
        break;
      default: {
        const auto made_up = input.take(input.byte());
        wire.insert(place, made_up.begin(), made_up.end());
      }
    }
  }

  // A number at, or close to, one that matters to this side.
  std::uint64_t telling_number(const End& end, FuzzInput& input) {
    const std::uint8_t which = input.byte();
    const std::uint64_t near = static_cast<std::uint64_t>(static_cast<std::int8_t>(input.byte()));
    switch (which % 8) {
      case 0:
        return end->writer().acknowledged() + near;
      case 1:
        return end->writer().sent() + near;
      case 2:
        return end->writer().highest_sent() + near;
      case 3:
        return end->reader().delivered_sequence() + near;
      case 4:
        return end->reader().received_sequence() + near;
      case 5:
        return end->reader().window().stated_limit() + near;
      case 6:
        return near;
      default:
        return input.number(8);
    }
  }

  // A whole frame that the peer never sent, in front of what is on its way.
  void forge_frame(Side side, FuzzInput& input) {
    End& end = ends_[side];
    Link* link = link_of(end->generation());
    if (link == nullptr) return;
    mislead(side);
    const auto type = static_cast<FrameType>(1 + input.byte() % 7);
    const std::uint64_t acknowledgement = telling_number(end, input);
    const Frame frame{type, acknowledgement, telling_number(end, input)};
    const std::size_t payload = type == FrameType::data ? 1 + input.byte() : 0;
    std::array<std::byte, kMaxFramePrefixBytes> prefix;
    const std::size_t size = encode(frame, payload, prefix);
    auto& wire = link->to[side];
    wire.insert(wire.begin(), payload, std::byte{0x55});
    wire.insert(wire.begin(), prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(size));
  }

  // A peer that states a position it does not have.
  void forge_position(Side side, FuzzInput& input) {
    auto& position = side == kServer ? hello_ : welcome_;
    if (!position) return;
    mislead(side);
    const End& end = ends_[side];
    position->delivered = telling_number(end, input);
    // The codec lets nothing else through.
    position->received = std::max(position->delivered, telling_number(end, input));
    position->window_limit = telling_number(end, input);
  }

  void end_session(Side side, FuzzInput& input) {
    if (input.coin()) {
      reset(side, Reason::application_reset);
    } else {
      reset_ = true;
      ends_[side].was_reset = true;
      ends_[side]->close();
    }
  }

  void reset(Side side, Reason reason) {
    reset_ = true;
    ends_[side].was_reset = true;
    ends_[side]->reset(reason);
  }

  std::array<End, 2> ends_;
  std::deque<Link> links_;         // the newest last
  std::optional<Position> hello_;  // on its way, on the newest link
  TimePoint hello_at_{};
  std::optional<Position> welcome_;  // likewise
  TimePoint now_{};
  bool forged_ = false;
  bool reset_ = false;
};

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
