#include "net/link_dialer.hpp"

#include <utility>

#include "net/link_socket.hpp"

namespace backedpipe {
namespace {

// While one address of a peer does not answer, the next one waits this long.
constexpr Duration kPerAddress = std::chrono::seconds(3);

}  // namespace

LinkDialer::LinkDialer(boost::asio::io_context& io, std::vector<Address> endpoints,
                       std::shared_ptr<const TransportFactory> factory, Duration dead,
                       Handlers handlers)
    : io_(io),
      factory_(std::move(factory)),
      dead_(dead),
      handlers_(std::move(handlers)),
      timer_(io) {
  connector_ = std::make_shared<Connector>(io_, std::move(endpoints), kPerAddress);
}

void LinkDialer::start() {
  timer_.expires_after(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(kHandshakeTimeout));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->fail(false, "timeout: no answer within 10 s");
  });
  connector_->start([self = shared_from_this()](boost::system::error_code error,
                                                StreamSocket socket, const std::string& why) {
    if (self->over_) return;
    error ? self->fail(false, "cannot connect to " + why) : self->connected(std::move(socket));
  });
}

void LinkDialer::cancel() {
  if (!over_) stop();
}

void LinkDialer::stop() {
  over_ = true;
  timer_.cancel();
  connector_->cancel();
  transport_.reset();
  handlers_ = {};
}

void LinkDialer::connected(StreamSocket socket) {
  where_ = remote_address(socket);
  prepare_link_socket(socket, dead_);
  transport_ = factory_->wrap(std::move(socket));
  shake_hands();
}

void LinkDialer::shake_hands() {
  const IoResult result = transport_->handshake();
  switch (result.status) {
    case IoResult::Status::ok:
      break;
    case IoResult::Status::want_read:
    case IoResult::Status::want_write:
      return wait(result.status, &LinkDialer::shake_hands);
    case IoResult::Status::closed:
      return fail(false, where_ + " closed the connection during the TLS handshake");
    case IoResult::Status::failed:
      if (transport_->rejected()) {
        if (const std::string why = transport_->failure(); !why.empty()) {
          return fail(true, where_ + ": " + why);
        }
        return fail(true, where_ +
                              " does not accept our identity or key, or is not a TLS server (" +
                              result.error.message() + ")");
      }
      return fail(false, where_ + ": " + result.error.message());
  }
  // It may cancel this dialer, and with that drop the handlers.
  const auto ask = handlers_.hello;
  const auto hello = ask();
  if (over_) return;
  if (!hello) return stop();
  handshake_.emplace(*hello);
  say_hello();
}

void LinkDialer::say_hello() {
  while (!handshake_->outgoing().empty()) {
    const std::array<ConstBytes, 1> pieces{handshake_->outgoing()};
    const IoResult result = transport_->write(pieces);
    if (result.status == IoResult::Status::want_write) {
      return wait(result.status, &LinkDialer::say_hello);
    }
    // A server that does not want us says so before it closes: there is more in reading that than
    // in the failed write.
    if (result.status != IoResult::Status::ok) break;
    handshake_->sent(result.bytes);
  }
  hear_answer();
}

void LinkDialer::hear_answer() {
  std::array<std::byte, kMaxHandshakeBytes> buffer;
  while (true) {
    const IoResult result = transport_->read(buffer);
    if (result.status == IoResult::Status::want_read) {
      return wait(result.status, &LinkDialer::hear_answer);
    }
    if (result.status != IoResult::Status::ok) {
      // In TLS 1.3 the server's verdict on our key comes after our side of the handshake is
      // complete.
      const bool rejected = transport_->rejected();
      if (const std::string said = transport_->failure(); rejected && !said.empty()) {
        return fail(true, where_ + ": " + said);
      }
      const std::string why = result.status == IoResult::Status::closed
                                  ? "closed the connection before answering"
                                  : result.error.message();
      return fail(rejected, where_ + (rejected ? " does not accept our identity or key (" : " (") +
                                why + ")");
    }
    ConstBytes input(buffer.data(), result.bytes);
    if (const auto received = handshake_->receive(input); !received) {
      return fail(true, where_ + " does not speak this protocol: " + received.error().message());
    }
    if (!handshake_->complete()) continue;
    // Handlers may drop the last reference to this.
    const auto self = shared_from_this();
    const Handlers handlers = std::move(handlers_);
    std::unique_ptr<Transport> transport = std::move(transport_);
    stop();
    if (const Refused* refused = handshake_->refused()) {
      handlers.refused(*refused);
    } else {
      handlers.welcomed(std::move(transport), *handshake_->welcome(), input);
    }
    return;
  }
}

void LinkDialer::fail(bool rejected, const std::string& why) {
  if (over_) return;
  const auto self = shared_from_this();
  const Handlers handlers = std::move(handlers_);
  stop();
  handlers.failed(rejected, why);
}

void LinkDialer::wait(IoResult::Status status, void (LinkDialer::*then)()) {
  wait_for(transport_->socket(), status,
           [self = shared_from_this(), then](const boost::system::error_code& error) {
             if (!self->over_ && !error) ((*self).*then)();
           });
}

}  // namespace backedpipe
