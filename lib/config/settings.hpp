// The settings of one daemon: plain values, checked by parse_settings() or made from the command
// line. Made at start-up and at each reload, then only read. The defaults here are the defaults of
// the file.
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
  std::string group;                  // of the socket; empty: the group of the process
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
  // At a server. Without it: half of max_sessions, or all if there can be only one identity.
  std::optional<std::size_t> max_sessions_per_identity;
  std::uint64_t replay_buffer_bytes = 64 * kMiB;  // per session: bytes the peer may lack
  std::uint64_t max_window_bytes = 16 * kMiB;     // per session: bytes not yet delivered
  std::uint64_t max_memory_bytes = 2 * kGiB;      // of all sessions together
  std::chrono::milliseconds resume_timeout = std::chrono::hours(24);
  std::size_t max_handshakes = 256;  // connections that are not authenticated yet
  // How many links are kept for new sessions after theirs has ended: for each peer at a client, in
  // each worker at a server.
  std::size_t spare_links = 32;
  // How long a daemon that is being drained waits for its sessions to end by themselves.
  std::chrono::milliseconds shutdown_timeout = std::chrono::hours(1);
  // How long the peers of a daemon that leaves its sessions to the next process wait for that.
  std::chrono::milliseconds restart_grace = std::chrono::seconds(60);
};

struct LivenessSettings {
  std::chrono::milliseconds ping = std::chrono::seconds(5);
  std::chrono::milliseconds suspect = std::chrono::seconds(3);
  std::chrono::milliseconds dead = std::chrono::seconds(15);  // longer than both others
  // How long the system of an application or target may answer nothing; nothing: for ever.
  std::optional<std::chrono::milliseconds> application_keepalive = std::chrono::seconds(60);
};

// The files that Security::tls needs on either side; PEM.
struct CertificateFiles {
  std::string ca;           // the CAs that may have issued the peer's certificate
  std::string certificate;  // ours, followed by the intermediate certificates
  std::string key;          // the private key of our certificate
};

struct PeerSettings {
  std::string name;
  std::vector<Endpoint> endpoints;  // at least one
  Security security = Security::psk;
  std::string key_file;             // with psk only; holds one key
  CertificateFiles certificates{};  // with tls only
  // With tls only: the server's certificate must have one of these names or addresses. Empty: the
  // host of one of the endpoints.
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
  // The services that each identity may use. Empty only with Security::none: then all are allowed.
  std::map<std::string, std::vector<std::string>, std::less<>> allow;

  // With Security::none a client proves no identity, so only the entry "*" counts.
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

  // See find_named().
  const PeerSettings* find_peer(std::string_view name) const;
  const ServiceSettings* find_service(std::string_view name) const;
};

// Null when no entry has that name.
template <class Entry>
const Entry* find_named(const std::vector<Entry>& entries, std::string_view name) {
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [name](const Entry& each) { return each.name == name; });
  return entry == entries.end() ? nullptr : &*entry;
}

}  // namespace backedpipe
