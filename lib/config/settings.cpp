#include "config/settings.hpp"

#include <algorithm>

namespace backedpipe {

std::string_view to_string(Security security) {
  switch (security) {
    case Security::psk:
      return "psk";
    case Security::tls:
      return "tls";
    case Security::none:
      break;
  }
  return "none";
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
    case LogLevel::off:
      return "off";
  }
  return "info";
}

std::string_view to_string(LogFormat format) {
  return format == LogFormat::text ? "text" : "json";
}

Checked<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warning,
                               LogLevel::error, LogLevel::off}) {
    if (to_string(level) == text) return level;
  }
  return Checked<LogLevel>::failure("expected one of trace, debug, info, warning, error, off");
}

bool AcceptSettings::allows(std::string_view identity, std::string_view service) const {
  if (security == Security::none && allow.empty()) return true;
  auto entry = security == Security::none ? allow.end() : allow.find(identity);
  if (entry == allow.end()) entry = allow.find(kAnyName);
  if (entry == allow.end()) return false;
  const std::vector<std::string>& services = entry->second;
  return std::any_of(services.begin(), services.end(), [service](const std::string& name) {
    return name == kAnyName || name == service;
  });
}

const PeerSettings* Settings::find_peer(std::string_view name) const {
  return find_named(peers, name);
}

const ServiceSettings* Settings::find_service(std::string_view name) const {
  return find_named(services, name);
}

}  // namespace backedpipe
