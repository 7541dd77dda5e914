// Connector opens one connection to whichever of several addresses answers first: it executes an
// EndpointRace, with a socket and the transport's own handshake for each try. Names are resolved at
// the start and again throughout the race. It reports one outcome, or none after cancel(). Kept
// alive by its own waits, on the thread of its io_context.
#pragma once

#include <cstddef>
#include <cstdint>
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
    std::string where;  // the endpoint, for people
    Duration took{};    // to connect and complete the handshake
  };
  struct Lost {
    bool rejected = false;  // one side did not accept the other's identity
    bool starved = false;   // this process lacked descriptors or memory for a try
    std::string why;        // a sentence for people
  };
  using Outcome = std::variant<Won, Lost>;
  struct Handlers {
    // Called with each new socket, before it connects; may be left out.
    std::function<void(int socket)> prepare;
    // Turns a connected socket into a transport.
    std::function<std::unique_ptr<Transport>(StreamSocket)> wrap;
    // See EndpointRace::struggles(); may be left out.
    std::function<void(const std::string& why)> struggling;
    // Called once, and never after cancel(). May outlive this object.
    std::function<void(Outcome)> done;
  };

  // Without a `pace` each address is tried once; with it, each address is tried again at that
  // interval. `cache` must not be null. `segment_limit`: see SegmentLimit; none for addresses of
  // this machine.
  Connector(boost::asio::io_context& io, std::vector<Address> addresses, Handlers handlers,
            std::shared_ptr<EndpointCache> cache, std::optional<Duration> pace,
            std::optional<std::uint16_t> segment_limit = {});

  void start();
  // A connection that is there already is closed as `prepare` has set it up.
  void cancel();

 private:
  using RacerId = EndpointRace::RacerId;

  // An address in the settings that is a name.
  struct Name {
    std::size_t index = 0;  // in addresses_
    bool answered = false;
    bool asking = false;
    std::string error;  // of the last lookup, if it failed
  };
  // An address that takes part in the race.
  struct Entrant {
    StreamSocket::endpoint_type endpoint;
    std::size_t index = 0;  // its position in addresses_
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
  std::optional<std::uint16_t> segment_limit(std::size_t entrant) const;
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
  EndpointCache::Learned learned_;  // as of the start
  std::optional<Duration> pace_;
  std::optional<std::uint16_t> segment_limit_;
  std::vector<Name> names_;
  std::optional<TimePoint> ask_at_;  // when to resolve the names again
  bool recalled_ = false;
  std::optional<EndpointRace> race_;
  std::vector<Entrant> entrants_;  // by EndpointRace::AddressId
  std::map<RacerId, Racer> racers_;
  Timer timer_;
  std::string rejection_;  // why one side rejected the other
  bool starved_ = false;
  bool over_ = false;
};

}  // namespace backedpipe
