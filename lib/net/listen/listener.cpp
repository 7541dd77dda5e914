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

void Listener::accept() {
  acceptor_.async_accept(
      [weak = weak_from_this()](const boost::system::error_code& error, StreamSocket socket) {
        const auto self = weak.lock();
        if (!self || !self->acceptor_.is_open()) return;
        if (error && error != boost::asio::error::connection_aborted) {
          self->failures_.add(self->address_, error);
          return self->pause();
        }
        if (!error) hand_on(self->accepted_, std::move(socket));
        for (int more = 1; more < kMostAtOnce && !error && self->acceptor_.is_open(); ++more) {
          StreamSocket next(self->acceptor_.get_executor());
          boost::system::error_code none;
          self->acceptor_.accept(next, none);
          // The next wait meets it again, if it is an error.
          if (none) break;
          hand_on(self->accepted_, std::move(next));
        }
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
