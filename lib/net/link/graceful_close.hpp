// Ends a link without losing the last frame that was written to it.
#pragma once

#include <cstddef>
#include <list>
#include <memory>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>

#include "net/link/transport.hpp"

namespace backedpipe {

// Ends our direction and reads until the peer has ended its own, for at most two seconds. If the
// socket were closed with unread bytes in it, the kernel would send a TCP reset, and the peer could
// lose what was written last (RFC 1122 section 4.2.2.13).
void close_gracefully(std::unique_ptr<Transport> transport);

class GracefulClose;

// The links that are being closed on one thread. Their number is limited, because each holds a
// descriptor: at the limit the oldest is closed at once, which has had the most time. One per
// io_context, used on its thread.
class ClosingLinks final : public boost::asio::execution_context::service {
 public:
  static boost::asio::execution_context::id id;

  explicit ClosingLinks(boost::asio::io_context& io) : service(io) {}

  static ClosingLinks& of(boost::asio::io_context& io) {
    return boost::asio::use_service<ClosingLinks>(io);
  }

  // At least one.
  void limit(std::size_t most);
  std::size_t size() const { return links_.size(); }

 private:
  friend class GracefulClose;
  using Links = std::list<GracefulClose*>;  // the oldest first

  void shutdown() override {}
  Links::iterator enter(GracefulClose& link);
  void leave(Links::iterator place) { links_.erase(place); }

  std::size_t most_ = 1024;
  Links links_;
};

}  // namespace backedpipe
