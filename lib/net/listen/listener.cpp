#include "net/listen/listener.hpp"

#include <cerrno>
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
  protocol_ = {local.ss_family, 0};
  boost::system::error_code error;
  acceptor_.assign(protocol_, socket.descriptor, error);
  if (!error) acceptor_.non_blocking(true, error);
  if (!error) return;
  if (!acceptor_.is_open()) ::close(socket.descriptor);
  throw std::runtime_error("cannot listen on " + to_string(address_) + ": " + error.message());
}

Listener::~Listener() {
  stop();
}

void Listener::start(Accepted accepted, WorkerLedger* ledger) {
  accepted_ = std::move(accepted);
  ledger_ = ledger;
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

// Asio only waits. If it accepted as well, nobody would keep a connection until the handlers before
// this one have run.
void Listener::accept() {
  acceptor_.async_wait(boost::asio::socket_base::wait_read,
                       [weak = weak_from_this()](const boost::system::error_code& error) {
                         const auto self = weak.lock();
                         if (self && !error && self->acceptor_.is_open()) self->accept_waiting();
                       });
}

void Listener::accept_waiting() {
  for (int count = 0; count < kMostAtOnce && acceptor_.is_open(); ++count) {
    const int descriptor = ::accept(acceptor_.native_handle(), nullptr, nullptr);
    if (descriptor < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      failures_.add(address_, {errno, boost::system::system_category()});
      return pause();
    }
    // If it does not fit in there, its session will not be kept either.
    if (ledger_ != nullptr) static_cast<void>(ledger_->vault().put(descriptor));
    StreamSocket socket(acceptor_.get_executor());
    boost::system::error_code error;
    socket.assign(protocol_, descriptor, error);
    if (!error) socket.native_non_blocking(true, error);
    if (!error) {
      accepted_(std::move(socket));
    } else {
      if (ledger_ != nullptr) ledger_->forget(descriptor);
      if (!socket.is_open()) ::close(descriptor);
    }
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
