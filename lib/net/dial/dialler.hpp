// Dialler: dials the links of one worker's sessions to the peers in the settings, and keeps the
// links that sessions leave behind for the next ones. Whether a peer can be reached is found out
// for all of its sessions together, by its gate. The sessions are in a table that belongs to the
// worker. One for each worker, on its thread; plan() and what only looks may also be called from
// elsewhere while that thread waits or does not run yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/settings.hpp"
#include "net/dial/link_dialer.hpp"
#include "net/dial/link_doubts.hpp"
#include "net/link/tls/link_security.hpp"
#include "net/monitor/local_addresses.hpp"
#include "net/session/session_driver.hpp"
#include "net/session/session_table.hpp"
#include "net/shared/shared_gate.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class Dialler final : public LinkSupply, public LinkKeeper {
 public:
  struct Peer {
    PeerSettings settings;
    bool retired = false;  // not in the settings any more; goes with the last of its sessions
    std::shared_ptr<const TransportFactory> factory;
    std::string identity;  // ours, as this peer knows us
    std::shared_ptr<SharedGate> gate;
    std::uint64_t links_reused = 0;  // by this worker
  };
  // What settings come to: all that can go wrong was tried, and nothing of it is used yet.
  struct Plan {
    struct PlannedPeer {
      PeerSettings settings;
      LinkSecurity security;
    };
    std::size_t spare_links = 0;
    std::vector<PlannedPeer> peers;
  };
  // By the peer's name.
  using SecurityOfPeers = std::map<std::string, LinkSecurity>;

  // The sessions whose links it dials are those in `sessions`, which must outlive it.
  Dialler(WorkerContext& worker, SessionTable& sessions);
  // Lets go of the sessions, which refer to it.
  ~Dialler() override;
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  // How the peers in the settings are secured; read once for all workers. Throws
  // std::runtime_error with a sentence about what is wrong.
  static SecurityOfPeers read_security(const Settings& settings);
  // `security` is that of the same settings.
  Plan plan(const Settings& settings, const SecurityOfPeers& security) const;
  // From now on these are the settings. Sessions and links stay as they are: a session whose peer
  // is gone goes on being dialled for as before.
  void use(Plan plan);

  // New sessions are to come: links that are left are kept for them.
  void start();
  // No new sessions come any more; those that there are go on being dialled for.
  void drain();

  // An operator's wish. As Session::reconnect(), and the session's peer is dialled at once.
  bool reconnect(const std::shared_ptr<SessionDriver>& driver);
  // Called once the gates have been kicked: whoever waits for a link tries at once. `addresses` are
  // those that this machine has now; without them no link is doubted.
  Doubted network_changed(const NetworkChange& change,
                          const std::optional<LocalAddresses>& addresses);

  const std::unordered_map<std::string, Peer>& peers() const { return peers_; }
  // Of the settings, or of a session.
  const Peer& peer(const std::string& name) const;

  void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) override;
  void give_up(SessionDriver& driver, std::uint64_t generation) override;
  void released(std::unique_ptr<Transport> link, SessionDriver& driver) override;

 private:
  // A session's way to its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    std::shared_ptr<LinkDialer> dialer;  // none while it waits at the gate
    std::optional<SharedGate::Dial>
        dial;  // none while it waits, or on a link of an earlier session
  };
  // The attempt that a dialler's outcome belongs to.
  struct Request {
    Peer& peer;
    std::shared_ptr<SessionDriver> driver;
    std::uint64_t generation;
  };

  void use(Plan::PlannedPeer planned);
  bool has_sessions(const std::string& peer) const;
  void forget_retired();
  void session_ended(SessionDriver& driver);
  Peer& peer_of(const SessionDriver& driver);
  // Null when the attempt was given up.
  Attempt* find_attempt(const SessionId& session, std::uint64_t generation);
  Request request_of(const SessionId& session, std::uint64_t generation);

  void told(const SessionId& session, std::uint64_t generation,
            std::optional<SharedGate::Dial> dial);
  void dial(const Request& request, Attempt& attempt, SharedGate::Dial dial);
  void dial_failed(const Request& request, SharedGate::Dial dial, const LinkDialer::Failed& failed);
  void reuse(std::unique_ptr<Transport> link, const SessionId& session, std::uint64_t generation);
  void reuse_failed(const Request& request, const std::string& why);
  std::shared_ptr<LinkDialer> dialer_for(const Peer& peer, Attempt& attempt,
                                         LinkDialer::Handlers handlers);
  std::optional<Hello> hello(const Request& request);
  void welcomed(const Request& request, LinkDialer::Welcomed welcomed);
  void refused(const Request& request, const Refused& refused);
  void withdraw(const Request& request);
  void withdraw(Peer& peer, const SessionId& session, std::uint64_t generation,
                SharedGate::Withdrawal why);
  void try_waiting();
  void close_spares();

  WorkerContext& worker_;
  SessionTable& sessions_;
  std::size_t spare_links_ = 0;
  std::unordered_map<std::string, Peer> peers_;
  bool started_ = false;
  std::unordered_map<SessionId, Attempt> attempts_;  // at most one for each session
};

}  // namespace backedpipe
