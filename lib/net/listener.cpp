#include "net/listener.hpp"

#include <cstring>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "net/worker.hpp"

namespace backedpipe {
namespace {

using boost::asio::ip::tcp;
using LocalEndpoint = boost::asio::local::stream_protocol::endpoint;

constexpr auto kPause = std::chrono::milliseconds(100);

[[noreturn]] void refuse(const Address& address, const std::string& why) {
  throw std::runtime_error("cannot listen on " + to_string(address) + ": " + why);
}

// A socket file is stale when nobody accepts on it.
bool is_stale(boost::asio::io_context& io, const LocalEndpoint& endpoint) {
  boost::asio::local::stream_protocol::socket probe(io);
  boost::system::error_code error;
  probe.connect(endpoint, error);
  return error == boost::asio::error::connection_refused;
}

bool is_socket(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Listener::Listener(Worker& worker, const Address& address, std::optional<int> descriptor)
    : io_(worker.io()),
      failures_(worker.accept_failures()),
      address_(address),
      acceptor_(io_),
      timer_(io_) {
  if (descriptor) {
    adopt(*descriptor);
    return;
  }
  address_.is_unix() ? bind_unix() : bind_tcp();
  boost::system::error_code error;
  acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) refuse(address_, error.message());
}

Listener::~Listener() {
  stop();
}

void Listener::bind_tcp() {
  boost::system::error_code error;
  tcp::resolver resolver(io_);
  const auto results =
      resolver.resolve(address_.host, std::to_string(address_.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) refuse(address_, error.message());
  const tcp::endpoint endpoint = results.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(boost::asio::socket_base::reuse_address(true), error);
  // "[::]:7700" means everybody.
  if (!error && endpoint.protocol() == tcp::v6()) {
    acceptor_.set_option(boost::asio::ip::v6_only(false), error);
  }
  if (!error) acceptor_.bind(endpoint, error);
  if (error) refuse(address_, error.message());
  learn_port();
}

void Listener::adopt(int descriptor) {
  adopted_ = true;
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&local), &size);
  boost::system::error_code error;
  acceptor_.assign({local.ss_family, 0}, descriptor, error);
  if (error) {
    ::close(descriptor);
    refuse(address_, "the socket that was passed: " + error.message());
  }
  if ((local.ss_family == AF_UNIX) != address_.is_unix()) {
    refuse(address_, "the socket that was passed for it is of another kind");
  }
  if (!address_.is_unix()) learn_port();
}

void Listener::learn_port() {
  boost::system::error_code error;
  const auto bound = acceptor_.local_endpoint(error);
  tcp::endpoint local;
  local.resize(bound.size());
  std::memcpy(local.data(), bound.data(), bound.size());
  address_.port = local.port();
}

void Listener::bind_unix() {
  const LocalEndpoint endpoint(address_.unix_path);
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (error == boost::asio::error::address_in_use && is_socket(address_.unix_path) &&
      is_stale(io_, endpoint)) {
    ::unlink(address_.unix_path.c_str());
    acceptor_.bind(endpoint, error);
  }
  if (error) refuse(address_, error.message());
}

void Listener::start(Accepted accepted) {
  accepted_ = std::move(accepted);
  accept();
}

void Listener::stop() {
  if (!acceptor_.is_open()) return;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  timer_.cancel();
  accepted_ = nullptr;
  if (address_.is_unix() && !adopted_) ::unlink(address_.unix_path.c_str());
}

void Listener::accept() {
  acceptor_.async_accept(
      [weak = weak_from_this()](const boost::system::error_code& error, StreamSocket socket) {
        const auto self = weak.lock();
        if (!self || !self->acceptor_.is_open()) return;
        if (error && error != boost::asio::error::connection_aborted) {
          self->failures_.add(self->address_, error);
          return self->pause();
        }
        if (!error) self->accepted_(std::move(socket));
        if (self->acceptor_.is_open()) self->accept();
      });
}

void Listener::pause() {
  timer_.expires_after(kPause);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && self->acceptor_.is_open()) self->accept();
  });
}

}  // namespace backedpipe
