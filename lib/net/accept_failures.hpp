// AcceptFailures: what the listeners of a worker share when connections cannot be accepted, which
// concerns all of them alike (out of file descriptors). Says so once, however many listeners find
// out and however often they try again, and once when it is over. Part of a Worker.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/address.hpp"

namespace backedpipe {

class AcceptFailures {
 public:
  explicit AcceptFailures(boost::asio::io_context& io) : over_(io) {}

  // The listener on this address has failed, and will try again soon.
  void add(const Address& listener, const boost::system::error_code& error);

 private:
  boost::asio::steady_timer over_;
  bool failing_ = false;
};

}  // namespace backedpipe
