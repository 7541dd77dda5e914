// AcceptFailures: the failure to accept connections (out of file descriptors), which concerns all
// listeners alike. Logs it once, however many listeners fail and however often they try again, and
// logs its end once. One for the process; used from any thread.
#pragma once

#include <atomic>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

#include "config/address.hpp"

namespace backedpipe {

class AcceptFailures {
 public:
  // Its timer runs on `home`.
  explicit AcceptFailures(boost::asio::io_context& home) : home_(home), over_(home) {}

  // The listener on this address has failed, and will try again soon.
  void add(const Address& listener, const boost::system::error_code& error);

 private:
  void wait();

  boost::asio::io_context& home_;
  boost::asio::steady_timer over_;
  std::atomic<bool> failing_ = false;
};

}  // namespace backedpipe
