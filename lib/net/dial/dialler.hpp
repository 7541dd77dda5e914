// Dialler: dials the links of one worker's sessions to the peers in the settings, and keeps the
// links of cleanly ended sessions for later ones. A peer's gate finds out for all of its sessions
// together whether the peer can be reached. The sessions are in a table that belongs to the worker.
// One per worker, on its thread; plan() and the const functions may also be called from another
// thread while that thread waits or has not started.
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
    bool retired = false;  // no longer in the settings; removed with its last session
    std::shared_ptr<const TransportFactory> factory;
    std::string identity;  // ours, as this peer knows us
    std::shared_ptr<SharedGate> gate;
    std::uint64_t links_reused = 0;  // by this worker's sessions
  };
  // The checked outcome of new settings: everything that can fail was tried, and nothing is in use
  // yet.
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

  // Dials the links of the sessions in `sessions`, which must outlive this object.
  Dialler(WorkerContext& worker, SessionTable& sessions);
  // Abandons the sessions, which refer to this object.
  ~Dialler() override;
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  // Reads how the peers in the settings are secured, once for all workers. Throws
  // std::runtime_error with a sentence about what is wrong.
  static SecurityOfPeers read_security(const Settings& settings);
  // `security`: read from the same settings.
  Plan plan(const Settings& settings, const SecurityOfPeers& security) const;
  // Uses these settings from now on. Existing sessions and links stay as they are: a session whose
  // peer was removed is still dialled for, as before.
  void use(Plan plan);

  // New sessions may come: keeps links of ended sessions for them.
  void start();
  // No new sessions will come; existing ones are still dialled for.
  void drain();

  // An operator's request. As Session::reconnect(), and dials the session's peer at once.
  bool reconnect(const std::shared_ptr<SessionDriver>& driver);
  // Called after the gates were kicked: every session that waits for a link tries at once.
  // `addresses`: this machine's current ones; without them no link is doubted.
  Doubted network_changed(const NetworkChange& change,
                          const std::optional<LocalAddresses>& addresses);

  const std::unordered_map<std::string, Peer>& peers() const { return peers_; }
  // Precondition: the peer is in the settings, or has a session.
  const Peer& peer(const std::string& name) const;
  // Null if there is none of that name.
  const Peer* find_peer(const std::string& name) const;

  void connect(const std::shared_ptr<SessionDriver>& driver, std::uint64_t generation) override;
  void give_up(SessionDriver& driver, std::uint64_t generation) override;
  void released(std::unique_ptr<Transport> link, SessionDriver& driver) override;

 private:
  // A session's attempt at its next link.
  struct Attempt {
    std::uint64_t generation = 0;
    std::shared_ptr<LinkDialer> dialer;    // null while the attempt waits at the gate
    std::optional<SharedGate::Dial> dial;  // none while waiting at the gate, or on a spare link
  };
  // The attempt to which a LinkDialer's outcome belongs.
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
  std::optional<std::uint16_t> segment_limit(const Request& request);
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
