#include "control/event.hpp"

#include <cstdio>

namespace backedpipe {
namespace {

std::string to_text(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  char text[48];
  if (seconds < 1) {
    std::snprintf(text, sizeof text, "%.1f ms", seconds * 1000);
  } else {
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  }
  return text;
}

std::string after(const Event& event) {
  return event.duration ? " after " + to_text(*event.duration) : std::string();
}

std::string of_peer(const Event& event) {
  if (!event.peer.empty()) return ", peer " + event.peer;
  return event.identity.empty() ? std::string() : ", identity " + event.identity;
}

std::string why(const Event& event) {
  return event.detail.empty() ? event.reason : event.detail;
}

std::string opened(const Event& event) {
  if (event.role == Role::client) {
    return "opened from " + event.application + ": tunnel " + event.tunnel + ", peer " +
           event.peer + ", service " + event.service;
  }
  return "opened by " + (event.identity.empty() ? "anybody" : event.identity) + ": service " +
         event.service + ", target " + event.application;
}

std::string ended(const Event& event) {
  return "ended: " + why(event) + after(event) + of_peer(event) + " (delivered " +
         std::to_string(event.bytes_in) + " bytes, took " + std::to_string(event.bytes_out) +
         " bytes, " + std::to_string(event.links_count) + " links)";
}

}  // namespace

std::string_view name(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::open:
      return "open";
    case Event::Kind::attach:
      return "attach";
    case Event::Kind::detach:
      return "detach";
    case Event::Kind::takeover:
      return "takeover";
    case Event::Kind::close:
      return "close";
    case Event::Kind::peer_up:
      return "peer_up";
    case Event::Kind::parked:
      return "parked";
    case Event::Kind::restored:
      return "restored";
    case Event::Kind::peer_down:
      return "peer_down";
  }
  return "unknown";
}

std::string describe(const Event& event) {
  if (event.kind == Event::Kind::peer_up) return "peer " + event.peer + ": up again" + after(event);
  if (event.kind == Event::Kind::peer_down) return "peer " + event.peer + ": down: " + why(event);

  const std::string session =
      "session " + (event.session ? to_string(*event.session) : std::string("-"));
  const std::string link = session + " generation " + std::to_string(event.generation) + ": ";
  switch (event.kind) {
    case Event::Kind::open:
      return session + ": " + opened(event);
    case Event::Kind::close:
      return session + ": " + ended(event);
    case Event::Kind::parked:
      return session + ": parked: left to the next process" + of_peer(event);
    case Event::Kind::restored:
      return session + ": restored: it goes on after the process that had it" + of_peer(event);
    case Event::Kind::detach:
      return link + "detached: " + why(event) + after(event) + of_peer(event);
    default:
      return link + "attached to " + event.link + after(event) + of_peer(event) + " (" +
             event.reason + ")";
  }
}

}  // namespace backedpipe
