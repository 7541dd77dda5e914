// TunnelListener: accepts applications on all tunnels of one worker, and opens a session to the
// tunnel's peer for each of them. Where a session's links come from is not its business. One for
// each worker, on its thread; plan() and what only looks may also be called from elsewhere while
// that thread waits or does not run yet.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "net/listen/listener.hpp"
#include "net/listen/listening_sockets.hpp"
#include "net/session/session_driver.hpp"
#include "net/session/session_table.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class TunnelListener {
 public:
  struct Tunnel {
    TunnelSettings settings;
    std::shared_ptr<Listener> listener;
    bool passed = false;  // see ListeningSocket
    bool started = false;
  };
  // What settings come to: all that can go wrong was tried, and nothing of it is used yet.
  struct Plan {
    struct PlannedTunnel {
      TunnelSettings settings;
      std::shared_ptr<Tunnel> tunnel;  // one that there is, or a new one
    };
    std::size_t max_sessions = 0;
    std::vector<PlannedTunnel> tunnels;
  };
  // What a session to a peer needs.
  struct Path {
    SessionDriver::Links links;
    std::string identity;  // ours, as the peer knows us
  };
  // To the peer of this name, which is that of a tunnel.
  using PathTo = std::function<Path(const std::string& peer)>;

  // The sessions are opened in `sessions`, where no others are opened, and which must outlive it.
  TunnelListener(WorkerContext& worker, SessionTable& sessions, PathTo path_to);
  TunnelListener(const TunnelListener&) = delete;
  TunnelListener& operator=(const TunnelListener&) = delete;

  // Binds the listeners that there are not yet. Throws std::runtime_error with a sentence about
  // what is wrong.
  Plan plan(const Settings& settings, ListeningSockets& sockets) const;
  // From now on these are the settings. Sessions stay as they are. The peers of the same settings
  // are in use already.
  void use(Plan plan);

  void start();
  // Accepts nobody any more; the sessions that there are go on.
  void drain();

  // A session for an application whose connection is there already, as if a tunnel of these
  // settings had accepted it. Null, with the connection reset, when there are as many sessions as
  // there may be.
  std::shared_ptr<SessionDriver> open(const TunnelSettings& tunnel, StreamSocket application);

  const std::vector<std::shared_ptr<Tunnel>>& tunnels() const { return tunnels_; }

 private:
  std::shared_ptr<Tunnel> tunnel_for(const TunnelSettings& wanted, ListeningSockets& sockets) const;
  void listen(const std::shared_ptr<Tunnel>& tunnel);
  SessionId new_session_id();

  WorkerContext& worker_;
  SessionTable& sessions_;
  PathTo path_to_;
  std::size_t max_sessions_ = 0;
  std::vector<std::shared_ptr<Tunnel>> tunnels_;
  bool listening_ = false;
};

}  // namespace backedpipe
