// TunnelListener: accepts applications on all tunnels of one worker, and opens a session to the
// tunnel's peer for each of them. It does not know where a session's links come from. One per
// worker, on its thread; plan() and the const functions may also be called from another thread
// while that thread waits or has not started.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
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
  // The checked outcome of new settings: everything that can fail was tried, and nothing is in use
  // yet.
  struct Plan {
    struct PlannedTunnel {
      TunnelSettings settings;
      std::shared_ptr<Tunnel> tunnel;  // an existing one, or a new one
    };
    std::size_t max_sessions = 0;
    std::optional<Duration> keepalive;
    std::vector<PlannedTunnel> tunnels;
  };
  // What a session needs to reach its peer.
  struct Path {
    SessionDriver::Links links;
    std::string identity;  // ours, as the peer knows us
  };
  // `peer` is the peer's name in a tunnel's settings; nothing if there is no such peer.
  using PathTo = std::function<std::optional<Path>(const std::string& peer)>;

  // `sessions` must outlive this object, and only this object opens sessions in it.
  TunnelListener(WorkerContext& worker, SessionTable& sessions, PathTo path_to);
  TunnelListener(const TunnelListener&) = delete;
  TunnelListener& operator=(const TunnelListener&) = delete;

  // Binds the listeners that do not exist yet. Throws std::runtime_error with a sentence about what
  // is wrong.
  Plan plan(const Settings& settings, ListeningSockets& sockets) const;
  // Uses these settings from now on; existing sessions stay as they are. Precondition: the peers of
  // the same settings are already in use.
  void use(Plan plan);

  void start();
  // Stops accepting applications; existing sessions go on.
  void drain();
  // The same, and whoever connects waits for the next process.
  void leave();

  // Opens a session for an existing application connection, as if a tunnel with these settings had
  // accepted it. A TCP connection must be prepared, see prepare_application_socket. At the limit of
  // sessions: resets the connection and returns null.
  std::shared_ptr<SessionDriver> open(const TunnelSettings& tunnel, StreamSocket application);

  // Continues a session of the process before this one, whatever the limits are now. Returns why it
  // cannot; nothing if it does. It does not run before resume_restored().
  std::optional<std::string> restore(Recovered recovered, SessionLabels labels,
                                     std::optional<StreamSocket> application);
  // The same for a connection that the process before had accepted and done nothing with yet. False
  // if no tunnel of this one accepts it; then the descriptor stays the caller's.
  bool restore_accepted(int descriptor);
  // `turns`: where to note whose turn it is, see CrashLoop; may be null.
  void resume_restored(LedgerFile* turns);

  const std::vector<std::shared_ptr<Tunnel>>& tunnels() const { return tunnels_; }

 private:
  std::shared_ptr<Tunnel> tunnel_for(const TunnelSettings& wanted,
                                     std::optional<Duration> keepalive,
                                     ListeningSockets& sockets) const;
  void listen(const std::shared_ptr<Tunnel>& tunnel);
  SessionId new_session_id();

  WorkerContext& worker_;
  SessionTable& sessions_;
  PathTo path_to_;
  std::size_t max_sessions_ = 0;
  std::optional<Duration> keepalive_;  // see prepare_application_socket
  std::vector<std::shared_ptr<Tunnel>> tunnels_;
  std::vector<std::shared_ptr<SessionDriver>> restored_;  // that do not run yet
  std::vector<std::pair<std::shared_ptr<Tunnel>, StreamSocket>> restored_accepted_;
  bool listening_ = false;
};

}  // namespace backedpipe
