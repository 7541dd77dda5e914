// Node: one daemon's worth of everything, put together from its settings: memory, both sides, the
// control socket. Lives in main() on the thread that runs the io_context.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/settings.hpp"
#include "net/client.hpp"
#include "net/control_server.hpp"
#include "net/http_server.hpp"
#include "net/metrics.hpp"
#include "net/network_monitor.hpp"
#include "net/passed_sockets.hpp"
#include "net/server.hpp"
#include "net/worker.hpp"

namespace backedpipe {

class Node {
 public:
  // Reads key and certificate files and binds every listener, so that whatever is wrong is known
  // before anything starts. Throws std::runtime_error with a sentence for people. `settings` must
  // outlive it. Where a socket was passed for a listener, that one is used.
  Node(boost::asio::io_context& io, const Settings& settings, PassedSockets passed);
  ~Node();

  void start();

  // Reads all key and certificate files again. New links use what is in them; those that there are
  // stay. When anything is wrong, nothing changes. Logs the outcome; returns what is wrong.
  std::optional<std::string> reload();

  // Ends in order, in about a second at most: a client's sessions are closed and their servers
  // told; a server refuses who comes as "shutting down", so that clients keep trying. Then calls
  // `stopped`.
  void stop(std::function<void()> stopped);

  struct SessionCounts {
    std::size_t connected = 0;
    std::size_t away = 0;  // no link at present
  };
  SessionCounts session_counts() const;

 private:
  void look_whether_stopped();
  std::optional<HttpServer::Page> page(std::string_view path) const;

  const Settings& settings_;
  Worker worker_;
  Client client_;
  Server server_;
  NetworkMonitor monitor_;
  std::unique_ptr<ControlServer> control_;
  Metrics metrics_;
  std::unique_ptr<HttpServer> http_;
  bool ready_ = false;  // it has started and is not being stopped
  boost::asio::steady_timer timer_;
  TimePoint stop_began_{};
  std::function<void()> stopped_;
};

}  // namespace backedpipe
