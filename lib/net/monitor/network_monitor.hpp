// NetworkMonitor reports when the machine's network has changed or the machine was suspended. It
// waits for events of the system and never polls. Each supported system has a file of its own
// (network_monitor_linux.cpp). On other systems it reports nothing, and only silence shows that a
// link is dead. Lives on the thread that runs the io_context.
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

  // Warns once about what cannot be watched, and goes on without it.
  void start(Changed changed);
  // No report comes after this.
  void stop();

 private:
  class Watch;

  std::shared_ptr<Watch> watch_;
};

}  // namespace backedpipe
