// Connector opens one TCP connection (or one to a Unix socket), to the first address that accepts
// it. Names are resolved anew at every attempt.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/address.hpp"
#include "net/stream.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

class Connector : public std::enable_shared_from_this<Connector> {
 public:
  // `why` is a sentence for people when there is no socket.
  using Done = std::function<void(boost::system::error_code error, StreamSocket socket,
                                  const std::string& why)>;

  // Tries the addresses in order, each for at most `per_address` if there is another one to try.
  Connector(boost::asio::io_context& io, std::vector<Address> addresses, Duration per_address);

  // Calls `done` once.
  void start(Done done);
  // `done` will not be called any more.
  void cancel();

 private:
  void next_target();
  void next_endpoint();
  void connect_unix(const std::string& path);
  void failed(boost::system::error_code error);
  void succeeded(StreamSocket socket);

  boost::asio::io_context& io_;
  std::vector<Address> targets_;
  std::size_t target_ = 0;  // the next to be resolved
  std::vector<boost::asio::ip::tcp::endpoint> endpoints_;
  std::size_t endpoint_ = 0;  // the next to be tried
  Duration per_address_;
  Done done_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer timer_;
  StreamSocket socket_;
  boost::system::error_code last_error_;
  std::string last_target_;
};

}  // namespace backedpipe
