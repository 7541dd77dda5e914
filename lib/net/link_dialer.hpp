// LinkDialer makes one attempt at a link: connection, transport handshake, HELLO, and the server's
// answer, in ten seconds altogether. It reports once, or not at all after cancel(). Kept alive by
// its own waits.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/connector.hpp"
#include "net/transport.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

class LinkDialer : public std::enable_shared_from_this<LinkDialer> {
 public:
  struct Handlers {
    // Asked when the transport is ready; nothing means that the attempt is not wanted any more.
    std::function<std::optional<Hello>()> hello;
    // Exactly one of these is called. `early` are bytes behind the WELCOME.
    std::function<void(std::unique_ptr<Transport>, const Welcome&, ConstBytes early)> welcomed;
    std::function<void(const Refused&)> refused;
    // `rejected`: one of the sides does not accept the other (see Session::attempt_failed).
    std::function<void(bool rejected, const std::string& why)> failed;
  };

  LinkDialer(boost::asio::io_context& io, std::vector<Address> endpoints,
             std::shared_ptr<const TransportFactory> factory, Duration dead, Handlers handlers);

  void start();
  void cancel();

 private:
  void connected(StreamSocket socket);
  void shake_hands();
  void say_hello();
  void hear_answer();
  void fail(bool rejected, const std::string& why);
  void wait(IoResult::Status status, void (LinkDialer::*then)());
  void stop();

  boost::asio::io_context& io_;
  std::shared_ptr<const TransportFactory> factory_;
  Duration dead_;
  Handlers handlers_;
  std::shared_ptr<Connector> connector_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<Transport> transport_;
  std::optional<ClientHandshake> handshake_;
  std::string where_;
  bool over_ = false;
};

}  // namespace backedpipe
