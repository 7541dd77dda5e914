// Durations, and what is asked of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "socket.hpp"

namespace backedpipe::bench {

class Latencies {
 public:
  void add(Clock::duration duration) {
    microseconds_.push_back(std::chrono::duration<float, std::micro>(duration).count());
  }
  std::size_t count() const { return microseconds_.size(); }

  // As one line of JSON.
  void print(double seconds) {
    std::sort(microseconds_.begin(), microseconds_.end());
    std::printf(
        "{\"count\": %zu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": "
        "%.2f}\n",
        count(), seconds, at(0.5), at(0.99), at(0.999));
  }

 private:
  double at(double quantile) const {
    if (microseconds_.empty()) return 0;
    const auto place = static_cast<std::size_t>(quantile * static_cast<double>(count()));
    return double{microseconds_[std::min(place, count() - 1)]};
  }

  std::vector<float> microseconds_;
};

// When a run ends: after some seconds, or after a number of things done.
class Until {
 public:
  Until(double seconds, double count)
      : seconds_(count > 0 ? 1e9 : seconds), count_(count > 0 ? count : 1e18) {}
  bool over(std::size_t done) const {
    return static_cast<double>(done) >= count_ || seconds_since(begin_) >= seconds_;
  }
  double elapsed() const { return seconds_since(begin_); }

 private:
  Clock::time_point begin_ = Clock::now();
  double seconds_;
  double count_;
};

}  // namespace backedpipe::bench
