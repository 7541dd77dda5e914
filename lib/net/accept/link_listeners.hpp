// LinkListeners: where a worker accepts links: a listener, with its settings and its security, for
// each address in the settings. Owned by an Acceptor, on its thread; plan() may also be called from
// elsewhere while that thread waits or does not run yet.
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
  std::size_t spare_count = 0;      // links that wait for another session
  std::unique_ptr<RepeatedWarning> evictions{};
  bool started = false;
};

class LinkListeners {
 public:
  using Accepted =
      std::function<void(const std::shared_ptr<LinkListener>& listener, StreamSocket socket)>;
  using Securities = std::vector<LinkSecurity>;  // of the listeners in the settings, in order
  // What settings come to: all that can go wrong was tried, and nothing of it is used yet.
  struct Planned {
    AcceptSettings settings;
    LinkSecurity security;
    std::shared_ptr<LinkListener> listener;  // one that there is, or a new one
  };
  using Plan = std::vector<Planned>;

  // `accepted` is called for each connection, for as long as this lives.
  LinkListeners(WorkerContext& worker, Accepted accepted)
      : worker_(worker), accepted_(std::move(accepted)) {}

  // Read once for all workers. Throws std::runtime_error with a sentence about what is wrong.
  static Securities read_security(const Settings& settings);
  // Binds the listeners that there are not yet; throws as above.
  Plan plan(const Settings& settings, const Securities& security, ListeningSockets& sockets) const;
  void use(Plan plan);
  void start();

  const std::vector<std::shared_ptr<LinkListener>>& all() const { return listeners_; }
  // The one whose present security this link has proved itself to; null when there is none.
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
