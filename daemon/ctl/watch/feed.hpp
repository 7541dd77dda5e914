// PictureFeed: asks the control socket for the daemon's state at an interval, without blocking, and
// keeps trying while it cannot be reached. Lives on the thread of its io_context.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

#include "daemon/ctl/fields.hpp"

namespace backedpipe::ctl {

class PictureFeed {
 public:
  struct Settings {
    std::string path;     // of the control socket
    Json session_filter;  // parameters of the method "sessions"
    std::chrono::milliseconds interval;
  };
  struct Handlers {
    std::function<void(Json status, Json sessions)> on_picture;
    std::function<void(std::string problem)> on_loss;
  };

  PictureFeed(boost::asio::io_context& context, Settings settings, Handlers handlers);

  // Asks for the first picture at once. The feed must outlive the context's run().
  void start() { ask(); }

 private:
  using Socket = boost::asio::local::stream_protocol::socket;

  void ask();
  void send();
  void receive();
  void take_line(std::size_t length_bytes);
  void lose(std::string problem);
  void rest(std::chrono::milliseconds pause);
  // True in a handler that must do nothing more: its round is over, or `error` has just ended it.
  bool ended(std::uint64_t round, const boost::system::error_code& error);

  Settings settings_;
  Handlers handlers_;
  Socket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer pause_;
  std::uint64_t round_ = 0;
  std::string request_;
  std::string received_;
  Json status_;  // of this round, once it has arrived
};

}  // namespace backedpipe::ctl
