// Client: the dialling side of a daemon. Listens for applications on its tunnels and keeps a
// session to the tunnel's peer for each of them. Whether a peer can be reached is found out for all
// of its sessions together, by its gate. One for each worker, on its thread; plan() and what only
// looks may also be called from elsewhere while that thread waits or does not run yet.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/settings.hpp"
#include "net/dial/link_dialer.hpp"
#include "net/link/tls/link_security.hpp"
#include "net/listen/listener.hpp"
#include "net/listen/listening_sockets.hpp"
#include "net/session/session_driver.hpp"
#include "net/shared/shared_gate.hpp"

namespace backedpipe {

class Client final : public LinkSupply, public LinkKeeper, public SessionObserver {
 public:
  struct Peer {
    PeerSettings settings;
    bool retired = false;  // not in the settings any more; goes with the last of its sessions
    std::shared_ptr<const TransportFactory> factory;
    std::string identity;
    std::shared_ptr<SharedGate> gate;
    std::uint64_t links_reused = 0;  // by this worker
  };
  struct Tunnel {
    TunnelSettings settings;
    std::shared_ptr<Listener> listener;
    bool passed = false;  // see ListeningSocket
    bool started = false;
  };
  // What settings come to: all that can go wrong was tried, and nothing of it is used yet.
  struct Plan {
    struct PlannedPeer {
      PeerSettings settings;
      LinkSecurity security;
    };
    struct PlannedTunnel {
      TunnelSettings settings;
      std::shared_ptr<Tunnel> tunnel;  // one that there is, or a new one
    };
    std::size_t max_sessions = 0;
    std::size_t spare_links = 0;
    std::vector<PlannedPeer> peers;
    std::vector<PlannedTunnel> tunnels;
  };
  using Sessions = std::unordered_map<SessionId, std::shared_ptr<SessionDriver>>;

  explicit Client(WorkerContext& worker) : worker_(worker) {}
  ~Client() override;

  // How the peers in the settings are secured, by name; read once for all workers. Throws
  // std::runtime_error with a sentence about what is wrong.
  using SecurityOfPeers = std::map<std::string, LinkSecurity>;
  static SecurityOfPeers read_security(const Settings& settings);
  // Binds the listeners that there are not yet; throws as above.
  Plan plan(const Settings& settings, const SecurityOfPeers& security,
            ListeningSockets& sockets) const;
  // From now on these are the settings. Sessions and links stay as they are: a session whose peer
  // is gone goes on being dialled for as before.
  void use(Plan plan);

  void start();
  // A session for an application whose connection is there already, as if a tunnel of these
  // settings had accepted it. Null, with the connection reset, when there are as many sessions as
  // there may be.
  std::shared_ptr<SessionDriver> open(const TunnelSettings& tunnel, StreamSocket application);
  // Accepts nobody any more; the sessions that there are go on.
  void drain();
  // Accepts nobody any more and ends all sessions; their servers are told as far as they can be
  // reached.
  void stop();

  // An operator's wish. As Session::reconnect(), and the session's peer is dialled at once.
  bool reconnect(const std::shared_ptr<SessionDriver>& driver);
  // The network is not what it was: whoever waits for a link tries at once, the gates having been
  // kicked. What becomes of the links that there are is for others to decide.
  void network_changed();

  const std::unordered_map<std::string, Peer>& peers() const { return peers_; }
  const std::vector<std::shared_ptr<Tunnel>>& tunnels() const { return tunnels_; }
  const Sessions& sessions() const { return sessions_; }
  // Null when there is none.
  std::shared_ptr<SessionDriver> find(const SessionId& id) const {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
  }
  // The bytes of sessions that are still there are not in it.
  const SessionTotals& totals() const { return totals_; }

  void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) override;
  void give_up(SessionDriver& driver, std::uint64_t generation) override;
  void attached(SessionDriver& driver) override;
  void detached(SessionDriver& driver) override;
  void released(std::unique_ptr<Transport> link, SessionDriver& driver) override;
  void ended(SessionDriver& driver, Reason reason) override;

 private:
  // A session's way to its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    std::shared_ptr<LinkDialer> dialer;  // none while it waits at the gate
    SharedGate::Dial dial = 0;           // what the gate calls it
  };

  std::shared_ptr<Tunnel> tunnel_for(const TunnelSettings& wanted, ListeningSockets& sockets) const;
  void use(Plan::PlannedPeer planned);
  bool has_sessions(const std::string& peer) const;
  void forget_retired();
  void listen(const std::shared_ptr<Tunnel>& tunnel);
  SessionId new_session_id();
  void told(const SessionId& session, std::uint64_t generation, SharedGate::Dial dial);
  void dial(Peer& peer, const SessionId& session);
  void reuse(std::unique_ptr<Transport> link, const SessionId& session, std::uint64_t generation);
  std::shared_ptr<LinkDialer> dialer_for(const Peer& peer, Attempt& attempt,
                                         LinkDialer::Handlers handlers);
  LinkDialer::Handlers handlers_for(Peer& peer, const std::shared_ptr<SessionDriver>& driver,
                                    std::uint64_t generation);
  void close_spares();
  void withdraw(Peer& peer, const SessionId& session, std::uint64_t generation, bool alive = false);

  WorkerContext& worker_;
  std::size_t max_sessions_ = 0;
  std::size_t spare_links_ = 0;
  std::unordered_map<std::string, Peer> peers_;
  std::vector<std::shared_ptr<Tunnel>> tunnels_;
  bool listening_ = false;
  Sessions sessions_;
  SharedLabels labels_;
  std::unordered_map<SessionId, Attempt> attempts_;  // at most one for each session
  SessionTotals totals_;
};

}  // namespace backedpipe
