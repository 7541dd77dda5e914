// LinkDialer makes one attempt at a link: a race of connections, each with its transport handshake,
// over all addresses of the peer, ten seconds at most; then HELLO on the winner, and the server's
// answer, for which AnswerPatience says how long it waits. It reports one outcome, or none after
// cancel(). Kept alive by its own waits, on the thread of its io_context.
#pragma once

#include <cstdint>
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
    // Called when the transport is ready. No HELLO means that the attempt is no longer wanted: it
    // then ends without an outcome.
    std::function<std::optional<Hello>()> hello;
    // Called at most once; may be left out. A second has passed without a connection, or every
    // address has failed for now. The attempt goes on.
    std::function<void(const std::string& why)> struggling;
    // Called once, and never after cancel(). May outlive this object.
    std::function<void(Outcome)> done;
  };

  // Attempts that share a cache benefit from each other; without one this attempt has its own. A
  // silent address is tried again at intervals of `pace`.
  LinkDialer(boost::asio::io_context& io, const std::vector<Endpoint>& endpoints,
             std::shared_ptr<const TransportFactory> factory, Duration dead, Handlers handlers,
             std::shared_ptr<EndpointCache> cache = nullptr, Duration pace = kRacePace);

  // `segment_limit`: see SegmentLimit; none for addresses of this machine.
  void start(std::optional<std::uint16_t> segment_limit = {});
  // Instead of start(): uses an existing link, which has `patience` to answer.
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
  TimePoint hello_at_{};
  std::unique_ptr<Transport> transport_;
  std::optional<ClientHandshake> handshake_;
  std::optional<StreamSocket::endpoint_type> endpoint_;  // the endpoint that was dialled
  std::string where_;
  bool over_ = false;
};

}  // namespace backedpipe
