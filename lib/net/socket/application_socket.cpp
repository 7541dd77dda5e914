#include "net/socket/application_socket.hpp"

#include <sys/socket.h>
#include <utility>

#include <boost/asio/detail/socket_option.hpp>
#include <boost/asio/socket_base.hpp>

namespace backedpipe {

void ApplicationSocket::connect(StreamSocket socket) {
  socket_ = std::move(socket);
  set_no_delay(socket_);
}

IoResult ApplicationSocket::read(std::span<const MutableBytes> pieces) {
  return read_some(socket_.native_handle(), pieces);
}

IoResult ApplicationSocket::write(std::span<const ConstBytes> pieces) {
  return write_some(socket_.native_handle(), pieces);
}

boost::system::error_code ApplicationSocket::take_error() {
  boost::asio::detail::socket_option::integer<SOL_SOCKET, SO_ERROR> pending;
  boost::system::error_code ignored;
  socket_.get_option(pending, ignored);
  return {pending.value(), boost::system::system_category()};
}

void ApplicationSocket::finish() {
  boost::system::error_code ignored;
  socket_.shutdown(boost::asio::socket_base::shutdown_send, ignored);
}

void ApplicationSocket::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void ApplicationSocket::reset() {
  boost::system::error_code ignored;
  socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

bool ApplicationSocket::broken() {
  return is_broken(socket_.native_handle());
}

}  // namespace backedpipe
