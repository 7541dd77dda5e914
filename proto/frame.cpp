#include "proto/frame.hpp"

#include <algorithm>
#include <cstring>

#include "proto/wire.hpp"

namespace backedpipe {
namespace {

// The body's size without a DATA frame's payload.
std::size_t fixed_body_bytes(FrameType type) {
  switch (type) {
    case FrameType::ack:
      return 0;
    case FrameType::reset:
      return 2;
    default:
      return 8;
  }
}

bool is_frame_type(std::uint8_t type) {
  return type >= static_cast<std::uint8_t>(FrameType::data) &&
         type <= static_cast<std::uint8_t>(FrameType::parting);
}

}  // namespace

std::size_t encode(const Frame& frame, std::size_t payload_bytes,
                   std::span<std::byte, kMaxFramePrefixBytes> out) {
  const std::size_t fixed = fixed_body_bytes(frame.type);
  wire::store(out.data(), static_cast<std::uint32_t>(frame.type) << 24);
  wire::store(out.data() + 4, static_cast<std::uint32_t>(fixed + payload_bytes));
  wire::store(out.data() + 8, frame.acknowledgement);
  if (fixed == 2) {
    wire::store(out.data() + kFrameHeaderBytes, static_cast<std::uint16_t>(frame.value));
  } else if (fixed == 8) {
    wire::store(out.data() + kFrameHeaderBytes, frame.value);
  }
  return kFrameHeaderBytes + fixed;
}

Result<std::optional<FrameDecoder::Event>> FrameDecoder::next(std::span<const std::byte>& input) {
  while (payload_left_ == 0) {
    if (input.empty()) return std::nullopt;
    const std::size_t count = std::min(prefix_wanted_ - prefix_used_, input.size());
    std::memcpy(prefix_.data() + prefix_used_, input.data(), count);
    prefix_used_ += count;
    input = input.subspan(count);
    if (prefix_used_ < prefix_wanted_) return std::nullopt;

    const std::size_t body = wire::load<std::uint32_t>(prefix_.data() + 4);
    if (prefix_used_ == kFrameHeaderBytes) {
      const auto head = wire::load<std::uint32_t>(prefix_.data());
      const auto type = static_cast<std::uint8_t>(head >> 24);
      if (!is_frame_type(type) || (head & 0xFFFFFF) != 0) return Reason::protocol_error;
      frame_ = {static_cast<FrameType>(type), wire::load<std::uint64_t>(prefix_.data() + 8), 0};
      const std::size_t fixed = fixed_body_bytes(frame_.type);
      const std::size_t most_payload = frame_.type == FrameType::data ? kMaxPayloadBytes : 0;
      const std::size_t least_payload = frame_.type == FrameType::data ? 1 : 0;
      if (body < fixed + least_payload || body > fixed + most_payload)
        return Reason::protocol_error;
      prefix_wanted_ += fixed;
      if (fixed != 0) continue;
    }

    const std::size_t fixed = prefix_wanted_ - kFrameHeaderBytes;
    if (fixed == 2) frame_.value = wire::load<std::uint16_t>(prefix_.data() + kFrameHeaderBytes);
    if (fixed == 8) frame_.value = wire::load<std::uint64_t>(prefix_.data() + kFrameHeaderBytes);
    prefix_used_ = 0;
    prefix_wanted_ = kFrameHeaderBytes;
    if (frame_.type != FrameType::data) return Event{frame_, {}};
    payload_left_ = body - fixed;
    // The last payload byte must have an offset of its own in 64 bits.
    if (frame_.value > UINT64_MAX - payload_left_) return Reason::protocol_error;
  }

  if (input.empty()) return std::nullopt;
  const std::span<const std::byte> payload = input.first(std::min(payload_left_, input.size()));
  input = input.subspan(payload.size());
  Event event = skip(payload.size());
  event.payload = payload;
  return event;
}

FrameDecoder::Event FrameDecoder::skip(std::size_t count) {
  const Event event{frame_, {}};
  frame_.value += count;
  payload_left_ -= count;
  return event;
}

void FrameDecoder::put_back(std::size_t count) {
  frame_.value -= count;
  payload_left_ += count;
}

}  // namespace backedpipe
