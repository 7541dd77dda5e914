#include "net/accept/link_listeners.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

namespace backedpipe {

LinkListeners::Securities LinkListeners::read_security(const Settings& settings) {
  Securities security;
  for (const AcceptSettings& accept : settings.accept)
    security.push_back(load_security(accept));
  return security;
}

LinkListeners::Plan LinkListeners::plan(const Settings& settings, const Securities& security,
                                        ListeningSockets& sockets) const {
  Plan plan;
  for (std::size_t i = 0; i < settings.accept.size(); ++i) {
    const AcceptSettings& accept = settings.accept[i];
    plan.push_back({accept, security[i], listener_for(accept, plan, sockets)});
  }
  return plan;
}

// Two listeners can have the same address only if the system chooses their ports. They are then
// interchangeable, but each may be taken only once.
std::shared_ptr<LinkListener> LinkListeners::listener_for(const AcceptSettings& wanted,
                                                          const Plan& planned,
                                                          ListeningSockets& sockets) const {
  for (const auto& listener : listeners_) {
    const bool taken =
        std::any_of(planned.begin(), planned.end(),
                    [&listener](const Planned& other) { return other.listener == listener; });
    if (listener->settings.listen == wanted.listen && !taken) return listener;
  }
  const ListeningSocket socket = sockets.open(
      wanted.listen, PassedSockets::name_of_link_listener(wanted.listen), planned.size());
  return std::make_shared<LinkListener>(LinkListener{
      .settings = wanted,
      .listener =
          std::make_shared<Listener>(worker_.io(), worker_.shared().accept_failures, socket),
      .passed = socket.passed});
}

void LinkListeners::use(Plan plan) {
  const auto before = std::exchange(listeners_, {});
  for (Planned& planned : plan) {
    LinkListener& listener = *planned.listener;
    const bool was_open = listener.factory && listener.settings.security == Security::none;
    listener.settings = std::move(planned.settings);
    listener.factory = std::move(planned.security.factory);
    if (worker_.is_first() && listener.settings.security == Security::none && !was_open) {
      spdlog::warn(
          "listener {}: security is \"none\": links are neither encrypted nor authenticated",
          to_string(listener.settings.listen));
    }
    listeners_.push_back(std::move(planned.listener));
  }
  for (const auto& listener : before) {
    if (std::find(listeners_.begin(), listeners_.end(), listener) != listeners_.end()) continue;
    listener->listener->stop();
    if (!worker_.is_first()) continue;
    spdlog::info("not listening for links on {} any more",
                 to_string(listener->listener->address()));
  }
  if (started_) start();
}

void LinkListeners::start() {
  started_ = true;
  for (const auto& listener : listeners_)
    start(listener);
}

void LinkListeners::leave() {
  for (const auto& listener : listeners_)
    listener->listener->leave();
}

void LinkListeners::start(const std::shared_ptr<LinkListener>& listener) {
  if (std::exchange(listener->started, true)) return;
  listener->listener->start([this, weak = std::weak_ptr(listener)](StreamSocket socket) {
    if (const auto self = weak.lock()) accepted_(self, std::move(socket));
  });
  if (!worker_.is_first()) return;
  spdlog::info("listening for links on {} (security {})", to_string(listener->listener->address()),
               to_string(listener->settings.security));
}

std::shared_ptr<LinkListener> LinkListeners::find_by(const Transport& link) const {
  const auto found =
      std::find_if(listeners_.begin(), listeners_.end(),
                   [&link](const auto& listener) { return link.made_by(listener->factory); });
  return found == listeners_.end() ? nullptr : *found;
}

}  // namespace backedpipe
