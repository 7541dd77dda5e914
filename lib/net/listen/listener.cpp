#include "net/listen/listener.hpp"

#include <chrono>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backedpipe {
namespace {

constexpr auto kPause = std::chrono::milliseconds(100);
// Connections accepted in one turn. Accepting costs little beside what follows. If it had only
// every other turn, a storm would fill the kernel's queue, and others would have to wait a second
// until their system repeats its SYN.
constexpr int kMostAtOnce = 16;

void hand_on(const Listener::Accepted& accepted, StreamSocket socket) {
  boost::system::error_code ignored;
  socket.native_non_blocking(true, ignored);
  accepted(std::move(socket));
}

}  // namespace

Listener::Listener(boost::asio::io_context& io, AcceptFailures& failures,
                   const ListeningSocket& socket)
    : failures_(failures),
      address_(socket.address),
      unlink_(socket.unlink),
      acceptor_(io),
      timer_(io) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  ::getsockname(socket.descriptor, reinterpret_cast<sockaddr*>(&local), &size);
  boost::system::error_code error;
  acceptor_.assign({local.ss_family, 0}, socket.descriptor, error);
  if (!error) acceptor_.non_blocking(true, error);
  if (!error) return;
  if (!acceptor_.is_open()) ::close(socket.descriptor);
  throw std::runtime_error("cannot listen on " + to_string(address_) + ": " + error.message());
}

Listener::~Listener() {
  stop();
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
  if (unlink_) ::unlink(address_.unix_path.c_str());
}

void Listener::leave() {
  unlink_ = false;
  stop();
}

// Asio only waits. If it accepted as well, connections would be in nobody's hands until the handlers
// before this one have run, and lost if the process is killed meanwhile.
void Listener::accept() {
  acceptor_.async_wait(boost::asio::socket_base::wait_read,
                       [weak = weak_from_this()](const boost::system::error_code& error) {
                         const auto self = weak.lock();
                         if (self && !error && self->acceptor_.is_open()) self->accept_waiting();
                       });
}

void Listener::accept_waiting() {
  for (int count = 0; count < kMostAtOnce && acceptor_.is_open(); ++count) {
    StreamSocket socket(acceptor_.get_executor());
    boost::system::error_code error;
    acceptor_.accept(socket, error);
    if (error == boost::asio::error::would_block) break;
    if (error == boost::asio::error::connection_aborted) continue;
    if (error) {
      failures_.add(address_, error);
      return pause();
    }
    hand_on(accepted_, std::move(socket));
  }
  if (acceptor_.is_open()) accept();
}

void Listener::pause() {
  timer_.expires_after(kPause);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && self->acceptor_.is_open()) self->accept();
  });
}

}  // namespace backedpipe
