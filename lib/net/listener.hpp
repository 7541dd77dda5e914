// Listener accepts connections on one address, TCP or Unix, and hands them on. When the process
// runs out of file descriptors it pauses, and goes on when there are some again: whoever connects
// meanwhile waits in the kernel.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/address.hpp"
#include "net/stream.hpp"

namespace backedpipe {

class AcceptFailures;
class Worker;

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Accepted = std::function<void(StreamSocket socket)>;

  // Binds and listens at once. A Unix socket's file that nobody listens on any more is replaced.
  // Throws std::runtime_error with a sentence that names the address.
  // With a `descriptor`, which listens already and becomes its own, it binds nothing; a Unix
  // socket's file is then somebody else's to remove.
  Listener(Worker& worker, const Address& address, std::optional<int> descriptor = std::nullopt);
  ~Listener();

  void start(Accepted accepted);
  void stop();

  // Where it listens, with the port that the kernel has chosen if 0 was asked for.
  const Address& address() const { return address_; }

 private:
  void bind_tcp();
  void bind_unix();
  void adopt(int descriptor);
  void learn_port();
  void accept();
  void pause();

  boost::asio::io_context& io_;
  AcceptFailures& failures_;
  Address address_;
  boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol> acceptor_;
  boost::asio::steady_timer timer_;
  Accepted accepted_;
  bool adopted_ = false;
};

}  // namespace backedpipe
