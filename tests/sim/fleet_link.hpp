// FleetLink: one side of a fleet's TCP connection, as a SessionPump sees it. A write takes
// everything; a read returns what has arrived.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "fleet.hpp"

namespace backedpipe::sim {

class Fleet::FleetLink final : public LinkEnd {
 public:
  FleetLink(Fleet& fleet, std::size_t member, Side side, WirePointer wire)
      : fleet_(fleet), member_(member), side_(side), wire_(std::move(wire)) {}

  const WirePointer& wire() const { return wire_; }
  void arrived(ConstBytes bytes) { inbox_.insert(inbox_.end(), bytes.begin(), bytes.end()); }
  // The connection is lost: the next read reports it.
  void lose() { lost_ = true; }

  IoResult read(std::span<const MutableBytes> pieces) override {
    if (inbox_.empty() && lost_) return {.status = IoResult::Status::closed};
    if (inbox_.empty()) return {.status = IoResult::Status::want_read, .drained = true};
    IoResult result;
    for (const MutableBytes piece : pieces) {
      const std::size_t part = std::min(piece.size(), inbox_.size() - result.bytes);
      if (part == 0) break;
      std::memcpy(piece.data(), inbox_.data() + result.bytes, part);
      result.bytes += part;
    }
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(result.bytes));
    result.drained = inbox_.empty() && !lost_;
    return result;
  }

  IoResult write(std::span<const ConstBytes> pieces) override {
    std::vector<std::byte> bytes;
    for (const ConstBytes piece : pieces)
      bytes.insert(bytes.end(), piece.begin(), piece.end());
    const std::size_t count = bytes.size();
    fleet_.carry(member_, side_, wire_, std::move(bytes));
    return {.bytes = count};
  }

  bool drained() const override { return inbox_.empty(); }
  std::optional<TcpAnswer> tcp_answer(TimePoint) override { return std::nullopt; }

 private:
  Fleet& fleet_;
  std::size_t member_;
  Side side_;
  WirePointer wire_;
  std::vector<std::byte> inbox_;
  bool lost_ = false;
};

}  // namespace backedpipe::sim
