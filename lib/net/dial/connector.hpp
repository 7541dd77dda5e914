// Connector opens one connection to whichever of several addresses is there first: it executes an
// EndpointRace, with a socket, and the transport's own handshake, for each try. Names are resolved
// anew at the start and all along. It reports one outcome, or none after cancel(). Kept alive by
// its own waits, on the thread of its io_context.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "config/address.hpp"
#include "net/link/transport.hpp"
#include "net/shared/endpoint_cache.hpp"
#include "net/shared/name_resolver.hpp"
#include "net/timer.hpp"
#include "pipe/time.hpp"
#include "session/dial/endpoint_race.hpp"

namespace backedpipe {

class Connector : public std::enable_shared_from_this<Connector> {
 public:
  struct Won {
    std::unique_ptr<Transport> transport;  // its handshake is complete
    StreamSocket::endpoint_type endpoint;
    std::string where;  // the same for people
    Duration took{};    // to connect and to shake hands
  };
  struct Lost {
    bool rejected = false;  // one side did not accept the other's identity
    bool starved = false;   // this process lacked descriptors or memory for a try
    std::string why;        // a sentence for people
  };
  using Outcome = std::variant<Won, Lost>;
  struct Handlers {
    // What a connected socket becomes.
    std::function<std::unique_ptr<Transport>(StreamSocket)> wrap;
    // See EndpointRace::struggles(); may be left out.
    std::function<void(const std::string& why)> struggling;
    // Called once, and never after cancel(). It outlives this object if need be.
    std::function<void(Outcome)> done;
  };

  // Each address is tried once without a `pace`, and afresh so often with it; `cache` must not be
  // null.
  Connector(boost::asio::io_context& io, std::vector<Address> addresses, Handlers handlers,
            std::shared_ptr<EndpointCache> cache, std::optional<Duration> pace);

  void start();
  void cancel();

 private:
  using RacerId = EndpointRace::RacerId;

  // One of the addresses in the settings, if it is a name.
  struct Name {
    std::size_t index = 0;  // in addresses_
    bool answered = false;
    bool asking = false;
    std::string error;  // what the last answer was, if it was none
  };
  // An address that takes part.
  struct Entrant {
    StreamSocket::endpoint_type endpoint;
    std::size_t index = 0;  // where in addresses_ it comes from
    std::string label;
    std::string error;  // how its last try failed
  };
  struct Racer {
    std::size_t entrant = 0;
    TimePoint started{};
    StreamSocket socket;  // until it is connected
    std::unique_ptr<Transport> transport;
  };

  void step();
  std::size_t rank(std::size_t index, const StreamSocket::endpoint_type& endpoint) const;
  void enter(std::size_t index, const StreamSocket::endpoint_type& endpoint);
  void enter_all(std::size_t index, const NameResolver::Addresses& addresses);
  void ask(Name& name);
  void answered(Name& name, boost::system::error_code error,
                const NameResolver::Addresses& addresses);
  void recall();
  void begin(const EndpointRace::Start& start);
  void connected(RacerId id, boost::system::error_code error);
  void shake_hands(RacerId id);
  void win(RacerId id);
  void drop(RacerId id, EndpointRace::Failure failure, std::string why);
  void lose();
  void finish(Outcome outcome);
  std::string why() const;
  void arm();
  void stop();

  boost::asio::io_context& io_;
  std::vector<Address> addresses_;
  Handlers handlers_;
  std::shared_ptr<EndpointCache> cache_;
  EndpointCache::Learned learned_;  // as it was at the start
  std::optional<Duration> pace_;
  std::vector<Name> names_;
  std::optional<TimePoint> ask_at_;  // names once more
  bool recalled_ = false;
  std::optional<EndpointRace> race_;
  std::vector<Entrant> entrants_;  // by EndpointRace::AddressId
  std::map<RacerId, Racer> racers_;
  Timer timer_;
  std::string rejection_;  // of the side that did not accept the other
  bool starved_ = false;
  bool over_ = false;
};

}  // namespace backedpipe
