// LinkDialer makes one attempt at a link: a race of connections, each with its transport handshake,
// over all addresses of the peer; then HELLO on the one that wins, and the server's answer; in ten
// seconds altogether. It reports one outcome, or none after cancel(). Kept alive by its own waits,
// on the thread of its io_context.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "net/dial/connector.hpp"
#include "net/link/transport.hpp"
#include "net/shared/endpoint_cache.hpp"
#include "net/timer.hpp"
#include "session/handshake.hpp"

namespace backedpipe {

class LinkDialer : public std::enable_shared_from_this<LinkDialer> {
 public:
  struct Welcomed {
    std::unique_ptr<Transport> link;
    Welcome welcome;
    ConstBytes early;  // the bytes after the WELCOME; valid until `done` returns
  };
  struct Failed {
    bool rejected = false;  // one side does not accept the other (see Session::attempt_failed)
    std::string why;        // a sentence for people
  };
  using Outcome = std::variant<Welcomed, Refused, Failed>;
  struct Handlers {
    // Asked when the transport is ready; nothing means that the attempt is not wanted any more, and
    // ends it without an outcome.
    std::function<std::optional<Hello>()> hello;
    // Called at most once, and may be left out: a second has passed and no connection has come
    // about, or every address has failed for now. The attempt goes on.
    std::function<void(const std::string& why)> struggling;
    // Called once, and never after cancel(). It outlives this object if need be.
    std::function<void(Outcome)> done;
  };

  // Attempts that share a cache profit from each other; without one this attempt has its own. Every
  // address that is silent is tried afresh each `pace`.
  LinkDialer(boost::asio::io_context& io, const std::vector<Endpoint>& endpoints,
             std::shared_ptr<const TransportFactory> factory, Duration dead, Handlers handlers,
             std::shared_ptr<EndpointCache> cache = nullptr, Duration pace = kRacePace);

  void start();
  // Instead of start(): over a link that is there already, which has so long to answer.
  void start_on(std::unique_ptr<Transport> link, Duration patience);
  void cancel();

 private:
  void connected(Connector::Outcome outcome);
  void greet(std::unique_ptr<Transport> link, Duration patience);
  void say_hello();
  void hear_answer();
  void fail(bool rejected, std::string why);
  void finish(Outcome outcome);
  void wait(IoResult::Status status, void (LinkDialer::*then)());
  void stop();

  boost::asio::io_context& io_;
  std::vector<Address> addresses_;
  std::shared_ptr<const TransportFactory> factory_;
  Duration dead_;
  Handlers handlers_;
  std::shared_ptr<EndpointCache> cache_;
  Duration pace_;
  std::shared_ptr<Connector> connector_;
  Timer timer_;
  TimePoint deadline_{};  // of the whole attempt
  std::unique_ptr<Transport> transport_;
  std::optional<ClientHandshake> handshake_;
  std::optional<StreamSocket::endpoint_type> endpoint_;  // that was dialled
  std::string where_;
  bool over_ = false;
};

}  // namespace backedpipe
