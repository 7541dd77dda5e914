// Listener accepts connections on one socket, TCP or Unix, and hands them on. When the process runs
// out of file descriptors it pauses until some are free; meanwhile connections wait in the kernel.
// Lives on the thread of its io_context.
#pragma once

#include <functional>
#include <memory>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/address.hpp"
#include "net/keep/worker_ledger.hpp"
#include "net/listen/listening_sockets.hpp"
#include "net/shared/accept_failures.hpp"
#include "net/socket/stream.hpp"

namespace backedpipe {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // The socket is non-blocking.
  using Accepted = std::function<void(StreamSocket socket)>;

  // Takes ownership of the socket. Throws std::runtime_error with a sentence that names the
  // address.
  Listener(boost::asio::io_context& io, AcceptFailures& failures, const ListeningSocket& socket);
  ~Listener();

  // `ledger`: if there is one, each connection is put into its vault before anything else is done
  // with it. A process that is killed before that takes the connection with it.
  void start(Accepted accepted, WorkerLedger* ledger = nullptr);
  void stop();
  // As stop(), but a Unix socket's path stays, because the next process listens on it.
  void leave();

  const Address& address() const { return address_; }
  // Valid until stop().
  int descriptor() { return acceptor_.native_handle(); }

 private:
  void accept();
  void accept_waiting();
  void pause();

  AcceptFailures& failures_;
  Address address_;
  bool unlink_;
  StreamSocket::protocol_type protocol_{0, 0};
  boost::asio::basic_socket_acceptor<StreamSocket::protocol_type, StreamSocket::executor_type>
      acceptor_;
  boost::asio::steady_timer timer_;
  Accepted accepted_;
  WorkerLedger* ledger_ = nullptr;
};

}  // namespace backedpipe
