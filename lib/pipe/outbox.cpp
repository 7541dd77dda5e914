#include "pipe/outbox.hpp"

#include <algorithm>

#include "pipe/invariant.hpp"

namespace backedpipe {

void Outbox::add(const Frame& frame, std::size_t payload_bytes) {
  Entry entry{};
  entry.prefix_bytes = static_cast<std::uint8_t>(encode(frame, payload_bytes, entry.prefix));
  entry.type = frame.type;
  entry.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
  entry.offset = frame.value;
  if (frames_.empty()) frames_.reserve(kFewFrames);
  frames_.push_back(entry);
  payload_bytes_ += payload_bytes;
}

std::size_t Outbox::pieces(const RingBuffer& ring, std::span<ConstBytes> out) const {
  std::size_t count = 0;
  std::size_t skip = front_taken_;
  for (std::size_t i = front_; i < frames_.size() && count < out.size(); ++i) {
    const Entry& entry = frames_[i];
    if (skip < entry.prefix_bytes) {
      out[count++] = ConstBytes(entry.prefix).first(entry.prefix_bytes).subspan(skip);
      skip = 0;
    } else {
      skip -= entry.prefix_bytes;
    }
    if (entry.payload_bytes > skip) {
      const std::size_t left = entry.payload_bytes - skip;
      const std::size_t used = ring.read(entry.offset + skip, left, out.subspan(count));
      std::size_t covered = 0;
      for (std::size_t j = count; j < count + used; ++j)
        covered += out[j].size();
      count += used;
      if (covered < left) break;
    }
    skip = 0;
  }
  return count;
}

Outbox::Progress Outbox::taken(std::size_t count) {
  Progress progress;
  front_taken_ += count;
  while (!empty()) {
    const Entry& entry = frames_[front_];
    const std::size_t whole = std::size_t{entry.prefix_bytes} + entry.payload_bytes;
    if (entry.type == FrameType::data && front_taken_ > entry.prefix_bytes) {
      const std::size_t payload = std::min(front_taken_, whole) - entry.prefix_bytes;
      progress.sequence = entry.offset + payload;
    }
    if (front_taken_ < whole) break;
    if (entry.type == FrameType::fin) progress.sequence = entry.offset + 1;
    if (entry.type == FrameType::reset) progress.reset = true;
    if (entry.type == FrameType::parting) progress.parting = true;
    front_taken_ -= whole;
    ++front_;
  }
  if (empty()) {
    invariant(front_taken_ == 0);
    if (!was_partial_ && payload_bytes_ >= budget_)
      budget_ = std::min(2 * budget_, kMostBudgetBytes);
    clear();
  } else if (!was_partial_) {
    was_partial_ = true;
    budget_ = std::max(budget_ / 2, kLeastBudgetBytes);
  }
  return progress;
}

void Outbox::clear() {
  // An idle link must not hold memory.
  frames_ = std::vector<Entry>();
  front_ = front_taken_ = payload_bytes_ = 0;
  was_partial_ = false;
}

}  // namespace backedpipe
