#include "control/snapshot_json.hpp"

#include <cmath>

#include "control/timestamp.hpp"

namespace backedpipe {
namespace {

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

OrderedJson milliseconds_or_null(const std::optional<Duration>& duration) {
  if (!duration) return nullptr;
  const std::chrono::duration<double, std::micro> exact = *duration;
  return std::round(exact.count()) / 1000.0;
}

OrderedJson seconds_or_null(const std::optional<Duration>& duration) {
  if (!duration) return nullptr;
  const std::chrono::duration<double, std::milli> exact = *duration;
  return std::round(exact.count()) / 1000.0;
}

OrderedJson time_or_null(const std::optional<WallTime>& time) {
  return time ? OrderedJson(format_timestamp(*time)) : OrderedJson(nullptr);
}

std::string_view name(Role role) {
  return role == Role::client ? "client" : "server";
}

OrderedJson to_json(const LinkRecord& link) {
  return {{"generation", link.generation},
          {"link", link.link},
          {"attached_at", format_timestamp(link.attached_at)},
          {"away_s", seconds_or_null(link.away)},
          {"detached_at", time_or_null(link.detached_at)},
          {"reason", text_or_null(link.reason)},
          {"detail", text_or_null(link.detail)}};
}

OrderedJson to_json(const TunnelSnapshot& tunnel) {
  return {{"name", tunnel.name},
          {"listen", tunnel.listen},
          {"peer", tunnel.peer},
          {"service", tunnel.service},
          {"sessions", tunnel.sessions}};
}

OrderedJson to_json(const PeerSnapshot& peer) {
  OrderedJson endpoints = OrderedJson::array();
  for (const std::string& endpoint : peer.endpoints)
    endpoints.push_back(endpoint);
  return {{"name", peer.name},
          {"endpoints", std::move(endpoints)},
          {"security", peer.security},
          {"state", name(peer.state)},
          {"last_error", text_or_null(peer.last_error)},
          {"next_attempt", time_or_null(peer.next_attempt)},
          {"sessions", peer.sessions},
          {"waiting", peer.waiting},
          {"dialling", peer.dialling},
          {"dials", peer.dials},
          {"spare_links", peer.spare_links},
          {"links_reused", peer.links_reused}};
}

OrderedJson to_json(const ListenerSnapshot& listener) {
  return {{"listen", listener.listen},
          {"security", listener.security},
          {"handshakes", listener.handshakes},
          {"sessions", listener.sessions},
          {"spare_links", listener.spare_links}};
}

OrderedJson to_json(const WorkerSnapshot& worker) {
  return {{"sessions", worker.sessions}};
}

OrderedJson to_json(const Totals& totals) {
  return {{"sessions_opened", totals.sessions.opened},
          {"sessions_ended", totals.sessions.ended},
          {"attaches", totals.sessions.attaches},
          {"bytes_in", totals.sessions.bytes_in},
          {"bytes_out", totals.sessions.bytes_out},
          {"replayed_bytes", totals.sessions.replayed_bytes},
          {"handshakes_failed", totals.handshakes_failed},
          {"links_handed_over", totals.links_handed_over},
          {"segments_in_use", totals.segments_in_use},
          {"segment_bytes", totals.segment_bytes},
          {"memory_limit", totals.memory_limit}};
}

template <typename T>
OrderedJson list_of(const std::vector<T>& items) {
  OrderedJson list = OrderedJson::array();
  for (const T& item : items)
    list.push_back(to_json(item));
  return list;
}

}  // namespace

std::string_view name(PeerState state) {
  switch (state) {
    case PeerState::up:
      return "up";
    case PeerState::down:
      return "down";
    case PeerState::unknown:
      break;
  }
  return "unknown";
}

std::string to_text(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson to_json(const ContinuitySnapshot& continuity) {
  return {{"kept", continuity.kept},         {"why_not", text_or_null(continuity.why_not)},
          {"restarts", continuity.restarts}, {"restored", continuity.restored},
          {"lost", continuity.lost},         {"not_kept", continuity.not_kept}};
}

OrderedJson to_json(const StatusSnapshot& status) {
  return {{"version", status.version},
          {"pid", status.pid},
          {"instance", status.instance},
          {"uptime_s", status.uptime.count()},
          {"draining", status.draining},
          {"continuity", to_json(status.continuity)},
          {"sessions",
           {{"connected", status.connected},
            {"disconnected", status.disconnected},
            {"reconnecting", status.reconnecting}}},
          {"tunnels", list_of(status.tunnels)},
          {"peers", list_of(status.peers)},
          {"listeners", list_of(status.listeners)},
          {"workers", list_of(status.workers)},
          {"totals", to_json(status.totals)}};
}

OrderedJson to_json(const SessionSnapshot& session) {
  return {{"id", to_string(session.id)},
          {"role", name(session.role)},
          {"tunnel", session.tunnel},
          {"service", session.service},
          {"peer", session.peer},
          {"identity", session.identity},
          {"state", name(session.state)},
          {"generation", session.generation},
          {"reconnects", session.reconnects},
          {"created_at", format_timestamp(session.created_at)},
          {"state_since", format_timestamp(session.state_since)},
          {"application", session.application},
          {"link", text_or_null(session.link)},
          {"bytes_in", session.bytes_in},
          {"bytes_out", session.bytes_out},
          {"unacked", session.unacked},
          {"buffered", session.buffered},
          {"window", session.window},
          {"rtt_ms", milliseconds_or_null(session.rtt)},
          {"last_error", text_or_null(session.last_error)},
          {"suspect", session.suspect},
          {"kept", session.kept}};
}

OrderedJson history_json(const SessionSnapshot& session) {
  return list_of(session.history);
}

OrderedJson to_json(const Event& event) {
  OrderedJson json{{"event", name(event.kind)}, {"time", format_timestamp(event.time)}};
  if (event.session) {
    json.update({{"session", to_string(*event.session)},
                 {"generation", event.generation},
                 {"role", name(event.role)},
                 {"tunnel", event.tunnel},
                 {"service", event.service},
                 {"identity", event.identity},
                 {"application", event.application},
                 {"link", text_or_null(event.link)},
                 {"bytes_in", event.bytes_in},
                 {"bytes_out", event.bytes_out},
                 {"links", event.links_count}});
  }
  json.update({{"peer", event.peer},
               {"reason", text_or_null(event.reason)},
               {"detail", text_or_null(event.detail)},
               {"duration_s", seconds_or_null(event.duration)},
               {"text", describe(event)}});
  return json;
}

}  // namespace backedpipe
