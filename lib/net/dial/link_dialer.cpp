#include "net/dial/link_dialer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "net/clock.hpp"
#include "net/socket/link_socket.hpp"

namespace backedpipe {
namespace {

std::vector<Address> to_addresses(const std::vector<Endpoint>& endpoints) {
  std::vector<Address> addresses;
  addresses.reserve(endpoints.size());
  for (const Endpoint& endpoint : endpoints) {
    addresses.push_back({.host = endpoint.host, .port = endpoint.port, .unix_path = {}});
  }
  return addresses;
}

}  // namespace

LinkDialer::LinkDialer(boost::asio::io_context& io, const std::vector<Endpoint>& endpoints,
                       std::shared_ptr<const TransportFactory> factory, Duration dead,
                       Handlers handlers, std::shared_ptr<EndpointCache> cache, Duration pace)
    : io_(io),
      addresses_(to_addresses(endpoints)),
      factory_(std::move(factory)),
      dead_(dead),
      handlers_(std::move(handlers)),
      cache_(cache ? std::move(cache) : std::make_shared<EndpointCache>()),
      pace_(pace),
      timer_(io) {}

void LinkDialer::start(std::optional<std::uint16_t> segment_limit) {
  Connector::Handlers handlers;
  handlers.wrap = [self = shared_from_this()](StreamSocket socket) {
    prepare_link_socket(socket, self->dead_);
    return self->factory_->wrap(std::move(socket));
  };
  handlers.struggling = handlers_.struggling;
  handlers.done = [self = shared_from_this()](Connector::Outcome outcome) {
    self->connected(std::move(outcome));
  };
  connector_ = std::make_shared<Connector>(io_, addresses_, std::move(handlers), cache_, pace_,
                                           segment_limit);
  connector_->start();
}

void LinkDialer::start_on(std::unique_ptr<Transport> link, Duration patience) {
  where_ = "the link of an earlier session";
  greet(std::move(link), patience);
}

void LinkDialer::cancel() {
  if (!over_) stop();
}

void LinkDialer::stop() {
  over_ = true;
  timer_.cancel();
  if (connector_) connector_->cancel();
  transport_.reset();
  handlers_ = {};
}

void LinkDialer::connected(Connector::Outcome outcome) {
  if (auto* lost = std::get_if<Connector::Lost>(&outcome)) {
    return fail(lost->rejected, std::move(lost->why));
  }
  auto& won = std::get<Connector::Won>(outcome);
  endpoint_ = won.endpoint;
  where_ = std::move(won.where);
  greet(std::move(won.transport), cache_->answer_patience(won.took));
}

void LinkDialer::greet(std::unique_ptr<Transport> link, Duration patience) {
  transport_ = std::move(link);
  // A copy: the handler may cancel this dialer, which drops the handlers.
  const auto ask = handlers_.hello;
  const auto hello = ask();
  if (over_) return;
  if (!hello) return stop();
  handshake_.emplace(*hello);
  hello_at_ = steady_now();
  timer_.expires_at(
      std::chrono::time_point_cast<std::chrono::steady_clock::duration>(hello_at_ + patience));
  timer_.async_wait([self = shared_from_this(), patience](const boost::system::error_code& error) {
    if (error || self->over_) return;
    if (self->endpoint_) self->cache_->note_no_answer(patience);
    self->fail(false, "timeout: " + self->where_ + " does not answer our HELLO");
  });
  say_hello();
}

void LinkDialer::say_hello() {
  while (!handshake_->outgoing().empty()) {
    const std::array<ConstBytes, 1> pieces{handshake_->outgoing()};
    const IoResult result = transport_->write(pieces);
    if (result.status == IoResult::Status::want_write) {
      return wait(result.status, &LinkDialer::say_hello);
    }
    // A server that refuses us says so before it closes: its answer says more than the failed
    // write.
    if (result.status != IoResult::Status::ok) return hear_answer();
    handshake_->sent(result.bytes);
  }
  wait(IoResult::Status::want_read, &LinkDialer::hear_answer);
}

void LinkDialer::hear_answer() {
  std::array<std::byte, kMaxHandshakeBytes> buffer;
  while (true) {
    const IoResult result = transport_->read(buffer);
    if (result.status == IoResult::Status::want_read) {
      return wait(result.status, &LinkDialer::hear_answer);
    }
    if (result.status != IoResult::Status::ok) {
      // In TLS 1.3 the server's verdict on our key arrives after our side of the handshake is
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
      // Not a rejection of our identity: anything on the path can answer like this.
      return fail(false, where_ + " does not speak this protocol: " + received.error().message());
    }
    if (!handshake_->complete()) continue;
    if (endpoint_) cache_->note(*endpoint_, true);
    cache_->note_answer(steady_now() - hello_at_);
    if (const Refused* refused = handshake_->refused()) return finish(*refused);
    return finish(Welcomed{std::move(transport_), *handshake_->welcome(), input});
  }
}

void LinkDialer::fail(bool rejected, std::string why) {
  if (over_) return;
  if (transport_ && endpoint_) cache_->note(*endpoint_, false);
  finish(Failed{rejected, std::move(why)});
}

void LinkDialer::finish(Outcome outcome) {
  const auto done = std::exchange(handlers_.done, nullptr);
  stop();
  done(std::move(outcome));
}

void LinkDialer::wait(IoResult::Status status, void (LinkDialer::*then)()) {
  wait_for(transport_->socket(), status,
           [self = shared_from_this(), then](const boost::system::error_code& error) {
             if (!self->over_ && !error) ((*self).*then)();
           });
}

}  // namespace backedpipe
