// The settings of one daemon: plain values, checked by parse_settings() or put together from the
// command line. Made once at start-up and read by every thread afterwards. The defaults here are
// the defaults of the file.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/checked.hpp"
#include "config/units.hpp"

namespace backedpipe {

enum class Security {
  psk,   // TLS 1.3 with a pre-shared key per client
  tls,   // TLS 1.3 with certificates on both sides
  none,  // plaintext, for links inside an already encrypted network
};

enum class LogLevel { trace, debug, info, warning, error, off };
enum class LogFormat { text, json };

std::string_view to_string(Security security);
std::string_view to_string(LogLevel level);
std::string_view to_string(LogFormat format);

// The level of that name, as in the file and for --log-level.
Checked<LogLevel> parse_log_level(std::string_view text);

struct ControlSettings {
  std::optional<std::string> socket;  // path; without it there is no control socket
  unsigned mode = 0660;               // permissions of the socket
  std::string group;                  // owner group of the socket; empty: as the process
};

struct MetricsSettings {
  std::optional<Address> listen;  // without it there are no metrics
};

struct LogSettings {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
};

struct Limits {
  std::size_t max_sessions = 10000;
  std::optional<std::size_t> max_sessions_per_identity;  // at a server; without it: max_sessions
  std::uint64_t replay_buffer_bytes = 64 * kMiB;         // per session, what the peer lacks
  std::uint64_t max_window_bytes = 16 * kMiB;            // per session, what the application lacks
  std::uint64_t max_memory_bytes = 2 * kGiB;             // of all sessions together
  std::chrono::milliseconds resume_timeout = std::chrono::hours(24);
  std::size_t max_handshakes = 256;  // connections that are not authenticated yet
  // Links whose session has ended that are kept for the next ones: of each peer at a client, in
  // each worker at a server.
  std::size_t spare_links = 32;
  // How long a daemon that is being drained waits for its sessions to end by themselves.
  std::chrono::milliseconds shutdown_timeout = std::chrono::hours(1);
};

struct LivenessSettings {
  std::chrono::milliseconds ping = std::chrono::seconds(5);
  std::chrono::milliseconds suspect = std::chrono::seconds(3);
  std::chrono::milliseconds dead = std::chrono::seconds(15);  // longer than both others
};

// What Security::tls needs, the same for both sides; PEM.
struct CertificateFiles {
  std::string ca;           // the CAs that the other side's certificate may come from
  std::string certificate;  // ours, and behind it those between it and a CA
  std::string key;          // its private key
};

struct PeerSettings {
  std::string name;
  std::vector<Endpoint> endpoints;  // at least one
  Security security = Security::psk;
  std::string key_file;             // with psk only; holds one key
  CertificateFiles certificates{};  // with tls only
  // With tls only: the server's certificate must be for one of these names or addresses. Empty:
  // for the host of one of the endpoints.
  std::vector<std::string> allowed_names{};
};

struct TunnelSettings {
  std::string name;
  Address listen;
  std::string peer;     // the name of a PeerSettings
  std::string service;  // as the server calls it
};

// Stands for every service, and as an identity for every client that has no entry of its own.
inline constexpr std::string_view kAnyName = "*";

struct AcceptSettings {
  Address listen;
  Security security = Security::psk;
  std::string key_file;             // with psk only; holds a key per client
  CertificateFiles certificates{};  // with tls only
  // Identity to services. Empty only with Security::none, and then everything is allowed.
  std::map<std::string, std::vector<std::string>, std::less<>> allow;

  // With Security::none nobody proves an identity, and only the entry "*" counts.
  bool allows(std::string_view identity, std::string_view service) const;
};

struct ServiceSettings {
  std::string name;
  Address target;
};

struct Settings {
  ControlSettings control;
  MetricsSettings metrics;
  LogSettings log;
  unsigned workers = 0;  // threads; 0: one per core
  Limits limits;
  LivenessSettings liveness;
  std::vector<PeerSettings> peers;
  std::vector<TunnelSettings> tunnels;
  std::vector<AcceptSettings> accept;
  std::vector<ServiceSettings> services;

  // As find_named().
  const PeerSettings* find_peer(std::string_view name) const;
  const ServiceSettings* find_service(std::string_view name) const;
};

// Null when there is none of that name.
template <class Entry>
const Entry* find_named(const std::vector<Entry>& entries, std::string_view name) {
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [name](const Entry& each) { return each.name == name; });
  return entry == entries.end() ? nullptr : &*entry;
}

}  // namespace backedpipe
