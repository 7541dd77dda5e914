// RepeatedWarning says what somebody else can make happen thousands of times a second: the first
// time at once, and then at most one line each interval with how often and the latest. Sets no
// timer while nothing happens. Owned by whoever warns, on its thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace backedpipe {

class RepeatedWarning {
 public:
  using Say = std::function<void(const std::string& line)>;

  // `what` begins each line. Without `say` the lines are warnings in the log.
  RepeatedWarning(boost::asio::io_context& io, std::string what, Say say = nullptr,
                  std::chrono::milliseconds interval = std::chrono::seconds(1));

  void add(std::string details);

 private:
  void wait();

  boost::asio::steady_timer timer_;
  std::string what_;
  Say say_;
  std::chrono::milliseconds interval_;
  bool waiting_ = false;
  std::uint64_t unsaid_count_ = 0;
  std::string latest_;
};

}  // namespace backedpipe
