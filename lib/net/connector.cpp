#include "net/connector.hpp"

#include <utility>

#include <boost/asio/local/stream_protocol.hpp>

namespace backedpipe {
namespace {

using boost::asio::ip::tcp;

}  // namespace

Connector::Connector(boost::asio::io_context& io, std::vector<Address> addresses,
                     Duration per_address)
    : io_(io),
      targets_(std::move(addresses)),
      per_address_(per_address),
      resolver_(io),
      timer_(io),
      socket_(io) {}

void Connector::start(Done done) {
  done_ = std::move(done);
  next_target();
}

void Connector::cancel() {
  done_ = nullptr;
  resolver_.cancel();
  timer_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Connector::next_target() {
  if (!done_) return;
  if (target_ == targets_.size()) {
    const Done done = std::exchange(done_, nullptr);
    done(last_error_, StreamSocket(io_), last_target_ + ": " + last_error_.message());
    return;
  }
  const Address& target = targets_[target_++];
  last_target_ = to_string(target);
  if (target.is_unix()) {
    connect_unix(target.unix_path);
    return;
  }
  endpoint_ = 0;
  endpoints_.clear();
  boost::system::error_code not_numeric;
  const auto address = boost::asio::ip::make_address(target.host, not_numeric);
  if (!not_numeric) {
    endpoints_.emplace_back(address, target.port);
    next_endpoint();
    return;
  }
  resolver_.async_resolve(target.host, std::to_string(target.port), tcp::resolver::numeric_service,
                          [self = shared_from_this()](const boost::system::error_code& error,
                                                      const tcp::resolver::results_type& results) {
                            if (!self->done_) return;
                            if (error) return self->failed(error);
                            self->endpoints_.assign(results.begin(), results.end());
                            self->next_endpoint();
                          });
}

void Connector::next_endpoint() {
  if (!done_) return;
  if (endpoint_ == endpoints_.size()) return next_target();
  const tcp::endpoint& endpoint = endpoints_[endpoint_++];
  socket_ = StreamSocket(io_);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (error) return failed(error);
  socket_.async_connect(endpoint,
                        [self = shared_from_this()](const boost::system::error_code& refused) {
                          if (!self->done_) return;
                          self->timer_.cancel();
                          if (refused) return self->failed(refused);
                          self->succeeded(std::move(self->socket_));
                        });
  const bool last = endpoint_ == endpoints_.size() && target_ == targets_.size();
  if (last) return;
  timer_.expires_after(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(per_address_));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    boost::system::error_code ignored;
    if (!cancelled && self->done_) self->socket_.close(ignored);
  });
}

void Connector::connect_unix(const std::string& path) {
  socket_ = StreamSocket(io_);
  const boost::asio::local::stream_protocol::endpoint endpoint(path);
  boost::system::error_code error;
  socket_.open(endpoint.protocol(), error);
  if (error) return failed(error);
  socket_.async_connect(endpoint,
                        [self = shared_from_this()](const boost::system::error_code& refused) {
                          if (!self->done_) return;
                          if (refused) return self->failed(refused);
                          self->succeeded(std::move(self->socket_));
                        });
}

void Connector::failed(boost::system::error_code error) {
  // Its own timer has closed the socket.
  last_error_ = error == boost::asio::error::operation_aborted
                    ? make_error_code(boost::system::errc::timed_out)
                    : error;
  boost::system::error_code ignored;
  socket_.close(ignored);
  next_endpoint();
}

void Connector::succeeded(StreamSocket socket) {
  const Done done = std::exchange(done_, nullptr);
  done({}, std::move(socket), {});
}

}  // namespace backedpipe
