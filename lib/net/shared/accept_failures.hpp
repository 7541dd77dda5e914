// AcceptFailures: what all listeners share when connections cannot be accepted, which concerns all
// of them alike (out of file descriptors). Says so once, however many listeners find out and
// however often they try again, and once when it is over. Used from any thread.
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
