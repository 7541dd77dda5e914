#include "checks.hpp"

#include <algorithm>

namespace backedpipe::sim {
namespace {

std::string describe(const Session& session) {
  const BackedWriter& out = session.pipe().writer();
  const BackedReader& in = session.pipe().reader();
  return std::string(name(session.role() == Role::client ? Side::client : Side::server)) +
         ": acknowledged " + std::to_string(out.acknowledged()) + ", sent " +
         std::to_string(out.sent()) + ", highest " + std::to_string(out.highest_sent()) + ", end " +
         std::to_string(out.end()) + "; delivered " + std::to_string(in.delivered_sequence()) +
         ", received " + std::to_string(in.received_sequence()) + ", limit " +
         std::to_string(in.window().stated_limit());
}

std::size_t most_segments(std::size_t bytes, std::size_t segment_bytes) {
  return bytes == 0 ? 0 : (bytes + segment_bytes - 2) / segment_bytes + 1;
}

}  // namespace

void check_offsets(const Session& session) {
  const BackedPipe& pipe = session.pipe();
  const BackedWriter& out = pipe.writer();
  const BackedReader& in = pipe.reader();
  const bool given_up = pipe.resetting() || session.over();
  const bool outbound =
      given_up || (out.acknowledged() <= out.sent() && out.sent() <= out.highest_sent() &&
                   out.highest_sent() <= out.end());
  const bool inbound = in.delivered_sequence() <= in.received_sequence() &&
                       in.ring().end() <= in.window().stated_limit();
  if (!outbound || !inbound) throw Violation("offsets are ordered", describe(session));
}

void check_memory(const Session& session, const PipeOptions& options, std::size_t segment_bytes) {
  const RingBuffer& out = session.pipe().writer().ring();
  const RingBuffer& in = session.pipe().reader().ring();
  require(out.size() <= options.replay_buffer_bytes && in.size() <= options.max_window_bytes,
          "memory is bounded", "a ring holds more than its capacity");
  for (const RingBuffer* ring : {&out, &in}) {
    require(ring->segment_count() <= most_segments(ring->size(), segment_bytes),
            "memory is bounded", "a ring holds segments without bytes");
  }
}

void WireTap::begin(const Position& peer) {
  next_ = peer.received;
  // The WINDOW that the peer sent after the WELCOME may be read only now.
  limit_ = std::max(limit_, peer.window_limit);
}

void WireTap::put(ConstBytes bytes, std::optional<std::uint64_t> taken_sequence,
                  WireTap& opposite) {
  while (true) {
    const auto event = decoder_.next(bytes);
    require(event.has_value(), "frames are well formed", "a frame that no decoder takes");
    if (!*event) return;
    const Frame& frame = (*event)->frame;
    require(frame.acknowledgement >= acknowledged_, "acknowledgements only grow",
            std::to_string(frame.acknowledgement) + " after " + std::to_string(acknowledged_));
    acknowledged_ = frame.acknowledgement;
    if (taken_sequence) {
      require(frame.acknowledgement <= *taken_sequence, "acknowledges only what was taken",
              std::to_string(frame.acknowledgement) + " acknowledged, " +
                  std::to_string(*taken_sequence) + " taken");
    }
    switch (frame.type) {
      case FrameType::data: {
        const std::uint64_t end = frame.value + (*event)->payload.size();
        require(frame.value == next_, "replays exactly what the peer lacks",
                "DATA at " + std::to_string(frame.value) + " instead of " + std::to_string(next_));
        require(end <= limit_, "stays within the window",
                "DATA up to " + std::to_string(end) + " beyond " + std::to_string(limit_));
        next_ = end;
        break;
      }
      case FrameType::fin:
        require(frame.value == next_, "replays exactly what the peer lacks",
                "FIN at " + std::to_string(frame.value) + " instead of " + std::to_string(next_));
        ++next_;
        break;
      case FrameType::window:
        opposite.limit_ = std::max(opposite.limit_, frame.value);
        break;
      default:
        break;
    }
  }
}

}  // namespace backedpipe::sim
