// What should not happen in the world of fuzz_pipe: forged bytes, frames and positions, and sessions
// that end early.
#include <algorithm>

#include "tests/fuzz/pipe_world.hpp"

namespace backedpipe::fuzz {

void World::mislead(Side side) {
  forged_ = true;
  ends_[side].misled = true;
}

void World::forge_bytes(Side side, FuzzInput& input) {
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

std::uint64_t World::telling_number(const End& end, FuzzInput& input) {
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

void World::forge_frame(Side side, FuzzInput& input) {
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

void World::forge_position(Side side, FuzzInput& input) {
  auto& position = side == kServer ? hello_ : welcome_;
  if (!position) return;
  mislead(side);
  const End& end = ends_[side];
  position->delivered = telling_number(end, input);
  // The codec lets nothing else through.
  position->received = std::max(position->delivered, telling_number(end, input));
  position->window_limit = telling_number(end, input);
}

void World::end_session(Side side, FuzzInput& input) {
  if (input.coin()) {
    reset(side, Reason::application_reset);
  } else {
    reset_ = true;
    ends_[side].was_reset = true;
    ends_[side]->close();
  }
}

void World::reset(Side side, Reason reason) {
  reset_ = true;
  ends_[side].was_reset = true;
  ends_[side]->reset(reason);
}

}  // namespace backedpipe::fuzz
