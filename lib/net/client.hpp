// Client: the dialling side of a daemon. Listens for applications on its tunnels and keeps a
// session to the tunnel's peer for each of them. Whether a peer can be reached is found out for all
// of its sessions together, by its gate.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "config/settings.hpp"
#include "net/endpoint_cache.hpp"
#include "net/link_security.hpp"
#include "net/listener.hpp"
#include "net/passed_sockets.hpp"
#include "net/session_driver.hpp"
#include "session/peer_gate.hpp"

namespace backedpipe {

class LinkDialer;

class Client final : public SessionOwner {
 public:
  struct Peer {
    explicit Peer(Worker& worker);

    const PeerSettings* settings = nullptr;
    std::shared_ptr<const TransportFactory> factory;
    std::shared_ptr<EndpointCache> cache = std::make_shared<EndpointCache>();
    std::string identity;
    PeerGate gate;
    PeerGate::State told = PeerGate::State::unknown;  // in the log
    std::string rejection;  // why it is of no use, if it does not accept us
    boost::asio::steady_timer timer;
    std::optional<TimePoint> timer_at;
  };
  using PeerSecurity = std::unordered_map<std::string, LinkSecurity>;  // by the peer's name
  struct Tunnel {
    const TunnelSettings* settings = nullptr;
    std::shared_ptr<Listener> listener;
  };
  using Sessions = std::unordered_map<SessionId, std::shared_ptr<SessionDriver>>;

  // Reads key and certificate files and binds the listeners; throws std::runtime_error with a
  // sentence about what is wrong. `settings` must outlive it.
  Client(Worker& worker, const Settings& settings, PassedSockets& passed);
  ~Client() override;

  void start();
  // Accepts nobody any more and ends all sessions; their servers are told as far as they can be
  // reached.
  void stop();

  // An operator's wish. As Session::reconnect(), and the session's peer is dialled at once.
  bool reconnect(const std::shared_ptr<SessionDriver>& driver);
  // The network is not what it was: whoever waits for a link tries at once. What becomes of the
  // links that there are is for others to decide.
  void network_changed();

  // Reads the key and certificate files again: what new links would use. Changes nothing; throws
  // std::runtime_error with a sentence about what is wrong.
  PeerSecurity read_security() const;
  // New links use it from now on; those that there are stay as they are.
  void use(PeerSecurity security);

  const std::unordered_map<std::string, Peer>& peers() const { return peers_; }
  const std::vector<Tunnel>& tunnels() const { return tunnels_; }
  const Sessions& sessions() const { return sessions_; }
  const SessionTotals& totals() const { return totals_; }

  void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) override;
  void give_up(SessionDriver& driver, std::uint64_t generation) override;
  void attached(SessionDriver& driver) override;
  void detached(SessionDriver& driver) override;
  void ended(SessionDriver& driver, Reason reason) override;

 private:
  // A session's way to its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    std::shared_ptr<LinkDialer> dialer;  // none while it waits at the gate
  };

  void accepted(const TunnelSettings& tunnel, StreamSocket socket);
  SessionId new_session_id();
  void run(Peer& peer);
  void dial(Peer& peer, const SessionId& session);
  void withdraw(Peer& peer, const SessionId& session, std::uint64_t generation);
  void tell(Peer& peer);
  void arm(Peer& peer);

  Worker& worker_;
  const Settings& settings_;
  std::unordered_map<std::string, Peer> peers_;
  std::vector<Tunnel> tunnels_;
  Sessions sessions_;
  std::unordered_map<SessionId, Attempt> attempts_;  // at most one for each session
  SessionTotals totals_;
};

}  // namespace backedpipe
