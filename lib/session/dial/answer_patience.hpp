// AnswerPatience: how long an attempt waits for the answer to its HELLO until another attempt is
// better than waiting. A path that has just carried the transport's handshake and is now silent is
// usually broken. But where something on the path accepts connections itself (a proxy, a
// satellite's accelerator), a quick connection says nothing about the way to the server; and a
// loaded server is slow too. So patience grows with each attempt that ran out, and is kept for the
// attempts after one that was answered late. One per peer.
#pragma once

#include <algorithm>

#include "pipe/time.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

class AnswerPatience {
 public:
  static constexpr Duration kLeast = std::chrono::seconds(1);
  static constexpr Duration kMost = kHandshakeTimeout;

  // For an attempt whose connection and transport handshake took this long.
  Duration after(Duration took) const {
    return std::clamp<Duration>(std::max<Duration>(kConnections * took, learned_), kLeast, kMost);
  }
  // An attempt had waited for so long, and was given up. Attempts made at the same time report the
  // same, which counts once.
  void ran_out(Duration waited) {
    learned_ = std::max(learned_, std::min<Duration>(kGrowth * waited, kMost));
  }
  // An answer came after so long.
  void answered(Duration waited) { learned_ = std::min<Duration>(kAnswers * waited, kMost); }
  // What the latest attempts have taught; zero at first.
  Duration learned() const { return learned_; }

 private:
  static constexpr int kConnections = 4;
  static constexpr int kGrowth = 3;
  static constexpr int kAnswers = 2;

  Duration learned_{};
};

}  // namespace backedpipe
