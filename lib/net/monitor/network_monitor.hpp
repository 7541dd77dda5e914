// NetworkMonitor tells when the machine's network has changed or the machine was suspended. It
// waits for the system to say so and never wakes up on its own. Implemented for each system in a
// file of its own (network_monitor_linux.cpp); where there is none it reports nothing, and links
// are judged by their silence alone. Lives on the thread that runs the io_context.
#pragma once

#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "session/liveness.hpp"

namespace backedpipe {

class NetworkMonitor {
 public:
  using Changed = std::function<void(const NetworkChange& change)>;

  explicit NetworkMonitor(boost::asio::io_context& io);
  ~NetworkMonitor();
  NetworkMonitor(const NetworkMonitor&) = delete;
  NetworkMonitor& operator=(const NetworkMonitor&) = delete;

  // What cannot be watched is warned about once, and left out.
  void start(Changed changed);
  // Nothing is reported any more.
  void stop();

 private:
  class Watch;

  std::shared_ptr<Watch> watch_;
};

}  // namespace backedpipe
