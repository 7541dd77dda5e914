// RepeatedWarning limits a warning that a client or a peer can cause thousands of times a second.
// The first one is logged at once; after that, one line each interval gives their number and the
// latest. No timer runs while nothing happens. Lives on its owner's thread.
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
