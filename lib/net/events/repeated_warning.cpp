#include "net/events/repeated_warning.hpp"

#include <utility>

#include <spdlog/spdlog.h>

namespace backedpipe {

RepeatedWarning::RepeatedWarning(boost::asio::io_context& io, std::string what, Say say,
                                 std::chrono::milliseconds interval)
    : timer_(io), what_(std::move(what)), say_(std::move(say)), interval_(interval) {
  if (!say_) say_ = [](const std::string& line) { spdlog::warn("{}", line); };
}

void RepeatedWarning::add(std::string details) {
  if (waiting_) {
    ++unsaid_count_;
    latest_ = std::move(details);
    return;
  }
  say_(what_ + ": " + details);
  wait();
}

void RepeatedWarning::wait() {
  waiting_ = true;
  timer_.expires_after(interval_);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    waiting_ = false;
    const std::uint64_t count = std::exchange(unsaid_count_, 0);
    if (count == 0) return;
    say_(what_ + ": " + std::to_string(count) + " more, the latest: " + latest_);
    wait();
  });
}

}  // namespace backedpipe
