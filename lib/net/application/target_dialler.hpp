// TargetDialler: dials the target that a session is for, and gives the session its socket, or resets
// the session with target_refused. While it is this daemon that lacks descriptors it dials again.
// Any session can have a target, whoever dials its links. One for each worker, on its thread.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "config/address.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {

class TargetDialler {
 public:
  explicit TargetDialler(boost::asio::io_context& io) : io_(io) {}

  // The outcome goes to the session, later. What is under way keeps the session alive, but needs
  // this object no more.
  void dial(const std::shared_ptr<SessionDriver>& session, const Address& target);

 private:
  boost::asio::io_context& io_;
};

}  // namespace backedpipe
