#include "net/listen/listening_sockets.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace backedpipe {
namespace {

using boost::asio::ip::tcp;
using Local = boost::asio::local::stream_protocol;
using ReusePort = boost::asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

[[noreturn]] void refuse(const Address& address, const std::string& why) {
  throw std::runtime_error("cannot listen on " + to_string(address) + ": " + why);
}

void require(const Address& address, const boost::system::error_code& error) {
  if (error) refuse(address, error.message());
}

// A socket file is stale when no process accepts on it.
bool is_stale(boost::asio::io_context& io, const Local::endpoint& endpoint) {
  Local::socket probe(io);
  boost::system::error_code error;
  probe.connect(endpoint, error);
  return error == boost::asio::error::connection_refused;
}

bool is_socket(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

template <typename Acceptor>
int released(Acceptor& acceptor, const Address& address) {
  boost::system::error_code error;
  acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  require(address, error);
  return acceptor.release();
}

tcp::endpoint resolve(boost::asio::io_context& io, const Address& address,
                      boost::system::error_code& error) {
  tcp::resolver resolver(io);
  const auto results =
      resolver.resolve(address.host, std::to_string(address.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  return error ? tcp::endpoint() : results.begin()->endpoint();
}

enum class Share { first, next };

// The first socket is bound without SO_REUSEPORT, so that a port of another process is found to be
// in use. After that it shares its port with the next ones.
ListeningSocket open_tcp(boost::asio::io_context& io, const Address& address, Share share,
                         const ListeningSockets::Prepare& prepare) {
  boost::system::error_code error;
  const tcp::endpoint endpoint = resolve(io, address, error);
  require(address, error);
  tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(boost::asio::socket_base::reuse_address(true), error);
  // "[::]:7700" accepts IPv4, too.
  if (!error && endpoint.protocol() == tcp::v6()) {
    acceptor.set_option(boost::asio::ip::v6_only(false), error);
  }
  if (!error && share == Share::next) acceptor.set_option(ReusePort(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error && share == Share::first) acceptor.set_option(ReusePort(true), error);
  require(address, error);
  ListeningSocket socket{-1, address, false, false};
  socket.address.port = acceptor.local_endpoint(error).port();
  require(address, error);
  if (prepare) prepare(acceptor.native_handle());
  socket.descriptor = released(acceptor, address);
  return socket;
}

ListeningSocket open_unix(boost::asio::io_context& io, const Address& address) {
  const Local::endpoint endpoint(address.unix_path);
  boost::system::error_code error;
  Local::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.bind(endpoint, error);
  if (error == boost::asio::error::address_in_use && is_socket(address.unix_path) &&
      is_stale(io, endpoint)) {
    ::unlink(address.unix_path.c_str());
    acceptor.bind(endpoint, error);
  }
  require(address, error);
  return {released(acceptor, address), address, false, true};
}

// What a socket is bound to: an IP address with a port, or a path.
struct Bound {
  std::optional<tcp::endpoint> endpoint;
  std::string path;
};

Bound bound_to(int descriptor) {
  Bound bound;
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&local), &size) != 0) return bound;
  if (local.ss_family == AF_UNIX) {
    bound.path = reinterpret_cast<const sockaddr_un*>(&local)->sun_path;
  } else if (local.ss_family == AF_INET || local.ss_family == AF_INET6) {
    bound.endpoint.emplace();
    bound.endpoint->resize(size);
    std::memcpy(bound.endpoint->data(), &local, size);
  }
  return bound;
}

ListeningSocket adopt(int descriptor, const Address& address,
                      const ListeningSockets::Prepare& prepare) {
  const Bound bound = bound_to(descriptor);
  if (bound.endpoint.has_value() == address.is_unix()) {
    ::close(descriptor);
    refuse(address, "the socket that was passed for it is of another kind");
  }
  ListeningSocket socket{descriptor, address, true, false};
  if (bound.endpoint) {
    socket.address.port = bound.endpoint->port();
    if (prepare) prepare(descriptor);
  }
  return socket;
}

// The socket is bound to this address. Writes the port to `found` if the system has chosen it.
bool has_address(boost::asio::io_context& io, int descriptor, const Address& wanted,
                 Address& found) {
  const Bound bound = bound_to(descriptor);
  if (wanted.is_unix()) return bound.path == wanted.unix_path;
  boost::system::error_code error;
  const tcp::endpoint endpoint = resolve(io, wanted, error);
  if (error || !bound.endpoint || bound.endpoint->address() != endpoint.address()) return false;
  if (wanted.port != 0 && wanted.port != bound.endpoint->port()) return false;
  found.port = bound.endpoint->port();
  return true;
}

// While the socket listens, nobody else can listen on this address.
bool occupies(boost::asio::io_context& io, int descriptor, const Address& address) {
  const Bound bound = bound_to(descriptor);
  if (address.is_unix()) return bound.path == address.unix_path;
  boost::system::error_code error;
  const tcp::endpoint endpoint = resolve(io, address, error);
  if (error || !bound.endpoint || bound.endpoint->port() != address.port) return false;
  return bound.endpoint->address() == endpoint.address() ||
         bound.endpoint->address().is_unspecified() || endpoint.address().is_unspecified();
}

}  // namespace

// A kept socket is bound and has its options. Its port, if the system chose it, stays.
std::optional<ListeningSocket> ListeningSockets::take_kept(const Address& wanted,
                                                           const std::string& name) {
  if (kept_ == nullptr) return std::nullopt;
  ListeningSocket socket{-1, wanted, false, wanted.is_unix()};
  const auto descriptor = kept_->take_one(KeptDescriptors::name_of_listener(name), [&](int kept) {
    return has_address(io_, kept, wanted, socket.address);
  });
  if (!descriptor) return std::nullopt;
  socket.descriptor = *descriptor;
  return socket;
}

// The settings may have changed since the process before this one: another address with the same
// port, or another name for the same address.
void ListeningSockets::free_address(const Address& wanted) {
  if (kept_ == nullptr) return;
  kept_->end_listeners([&](int kept) { return occupies(io_, kept, wanted); });
}

ListeningSocket ListeningSockets::open(const Address& wanted, const std::string& name,
                                       std::size_t place, const Prepare& prepare) {
  const std::string key = std::to_string(place) + ' ' + name + ' ' + to_string(wanted);
  const auto known = opened_.find(key);
  if (known == opened_.end()) {
    const ListeningSocket first = open_first(wanted, name, prepare);
    opened_.emplace(key, first);
    return first;
  }
  ListeningSocket next = known->second;
  if (!next.passed && !next.address.is_unix()) {
    if (const auto kept = take_kept(next.address, name)) return *kept;
    return open_tcp(io_, next.address, Share::next, prepare);
  }
  next.descriptor = ::fcntl(next.descriptor, F_DUPFD_CLOEXEC, 0);
  if (next.descriptor < 0) refuse(wanted, std::strerror(errno));
  next.unlink = false;
  return next;
}

ListeningSocket ListeningSockets::open_first(const Address& wanted, const std::string& name,
                                             const Prepare& prepare) {
  if (const auto descriptor = passed_ ? passed_->take(name) : std::nullopt) {
    return adopt(*descriptor, wanted, prepare);
  }
  if (const auto kept = take_kept(wanted, name)) return *kept;
  free_address(wanted);
  return wanted.is_unix() ? open_unix(io_, wanted) : open_tcp(io_, wanted, Share::first, prepare);
}

}  // namespace backedpipe
