// LinkListeners: where a worker accepts links: one listener, with its settings and its security,
// for each address in the settings. Owned by an Acceptor, on its thread; plan() may also be called
// from another thread while that thread waits or has not started.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "config/settings.hpp"
#include "net/events/repeated_warning.hpp"
#include "net/link/tls/link_security.hpp"
#include "net/listen/listener.hpp"
#include "net/listen/listening_sockets.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

struct LinkListener {
  AcceptSettings settings;
  std::shared_ptr<Listener> listener;
  std::shared_ptr<const TransportFactory> factory{};
  std::size_t handshake_count = 0;  // under way
  std::size_t spare_count = 0;      // links that wait for their next session
  std::unique_ptr<RepeatedWarning> evictions{};
  bool passed = false;  // see ListeningSocket
  bool started = false;
};

class LinkListeners {
 public:
  using Accepted =
      std::function<void(const std::shared_ptr<LinkListener>& listener, StreamSocket socket)>;
  using Securities = std::vector<LinkSecurity>;  // one per listener in the settings, in order
  // The checked outcome of new settings: everything that can fail was tried, and nothing is in use
  // yet.
  struct Planned {
    AcceptSettings settings;
    LinkSecurity security;
    std::shared_ptr<LinkListener> listener;  // an existing one, or a new one
  };
  using Plan = std::vector<Planned>;

  // `accepted` is called for each connection during the lifetime of this object.
  LinkListeners(WorkerContext& worker, Accepted accepted)
      : worker_(worker), accepted_(std::move(accepted)) {}

  // Called once for all workers. Throws std::runtime_error with a sentence about what is wrong.
  static Securities read_security(const Settings& settings);
  // Binds the listeners that do not exist yet; throws as above.
  Plan plan(const Settings& settings, const Securities& security, ListeningSockets& sockets) const;
  void use(Plan plan);
  void start();
  // Accepts no more. Who connects waits for the next process.
  void leave();

  const std::vector<std::shared_ptr<LinkListener>>& all() const { return listeners_; }
  // The listener under whose present security this link authenticated; null if none.
  std::shared_ptr<LinkListener> find_by(const Transport& link) const;

 private:
  std::shared_ptr<LinkListener> listener_for(const AcceptSettings& wanted, const Plan& planned,
                                             ListeningSockets& sockets) const;
  void start(const std::shared_ptr<LinkListener>& listener);

  WorkerContext& worker_;
  Accepted accepted_;
  std::vector<std::shared_ptr<LinkListener>> listeners_;
  bool started_ = false;
};

}  // namespace backedpipe
