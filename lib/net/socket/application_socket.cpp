#include "net/socket/application_socket.hpp"

#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/detail/socket_option.hpp>
#include <boost/asio/socket_base.hpp>

#include "net/socket/tcp_progress.hpp"

namespace backedpipe {

void ApplicationSocket::connect(StreamSocket socket) {
  socket_ = std::move(socket);
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

std::optional<Unanswered> ApplicationSocket::unanswered() {
  return tcp_unanswered(socket_.native_handle());
}

void ApplicationSocket::close() {
  boost::system::error_code ignored;
  if (second_ != nullptr) socket_.shutdown(boost::asio::socket_base::shutdown_both, ignored);
  set_closing(socket_.native_handle(), Closing::orderly);
  release();
}

void ApplicationSocket::reset() {
  if (second_ != nullptr) {
    reset_connection(socket_.native_handle());
  } else {
    // It is so already, unless the socket was never prepared.
    set_closing(socket_.native_handle(), Closing::reset);
  }
  release();
}

void ApplicationSocket::release() {
  boost::system::error_code ignored;
  if (!socket_.is_open()) return;
  if (second_ == nullptr) {
    socket_.close(ignored);
    return;
  }
  // The system would go on to report events of a connection that is still open elsewhere, for a
  // socket that Asio has forgotten: take it out of the event loop before it is closed.
  second_->forget(socket_.native_handle());
  const int descriptor = socket_.release(ignored);
  if (!ignored) ::close(descriptor);
}

bool ApplicationSocket::broken() {
  return is_broken(socket_.native_handle());
}

}  // namespace backedpipe
