#include "config/address.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "config/ip_literal.hpp"

namespace backedpipe {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035, section 2.3.4, in text form

std::string expected(AddressRules rules, std::string_view detail) {
  std::string text = "expected host:port";
  text += rules.unix_path ? ", [IPv6]:port or unix:/path" : " or [IPv6]:port";
  return text.append("; ").append(detail);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_' ||
         c == '.';
}

std::optional<std::string> name_problem(std::string_view host) {
  if (host.size() > kMaxHostBytes) return "a host name has at most 253 characters";
  if (!std::all_of(host.begin(), host.end(), is_host_character)) {
    return "a host name has only letters, digits, '-', '_' and '.'";
  }
  if (host.front() == '.' || host.front() == '-' || host.find("..") != std::string_view::npos) {
    return "the host name has an empty part or starts with '-'";
  }
  // A last label of digits is never a name, so "10.0.0.256" is a mistyped address.
  const std::string_view label = host.substr(host.rfind('.') + 1);
  if (std::all_of(label.begin(), label.end(), is_digit) && !label.empty() &&
      !config::parse_ipv4(host)) {
    return "the host is not a valid IPv4 address (four numbers from 0 to 255)";
  }
  return std::nullopt;
}

bool is_ipv6_with_zone(std::string_view host) {
  const std::size_t percent = host.find('%');
  if (percent != std::string_view::npos) {
    const std::string_view zone = host.substr(percent + 1);
    // 15: IFNAMSIZ less the terminating zero.
    if (zone.empty() || zone.size() > 15) return false;
    if (!std::all_of(zone.begin(), zone.end(), is_host_character)) return false;
  }
  return config::parse_ipv6(host.substr(0, percent)).has_value();
}

std::optional<std::uint16_t> parse_port(std::string_view text, AddressRules rules) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || rest != end) return std::nullopt;
  if (port == 0 && !rules.port_zero) return std::nullopt;
  return port;
}

Checked<Address> parse_unix(std::string_view path, AddressRules rules) {
  using Result = Checked<Address>;
  if (!rules.unix_path) {
    return Result::failure(expected(rules, "a Unix socket is not possible here"));
  }
  if (path.empty() || path.front() != '/') {
    return Result::failure(expected(rules, "the path of a Unix socket starts with '/'"));
  }
  if (path.size() > kMaxUnixPathBytes) {
    return Result::failure(
        expected(rules, "the path of a Unix socket has at most 107 bytes, this one has " +
                            std::to_string(path.size())));
  }
  if (path.find('\0') != std::string_view::npos) {
    return Result::failure(expected(rules, "a path has no zero byte"));
  }
  return Address{.host = {}, .port = 0, .unix_path = std::string(path)};
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
  const bool is_ipv6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = is_ipv6 ? "[" + endpoint.host + "]" : endpoint.host;
  return host + ":" + std::to_string(endpoint.port);
}

std::string to_string(const Address& address) {
  if (address.is_unix()) return std::string(kUnixPrefix) + address.unix_path;
  return to_string(Endpoint{address.host, address.port});
}

Checked<Address> parse_address(std::string_view text, AddressRules rules) {
  using Result = Checked<Address>;
  if (text.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    return parse_unix(text.substr(kUnixPrefix.size()), rules);
  }
  const std::size_t colon = text.rfind(':');
  const std::size_t bracket = text.rfind(']');
  const bool bracketed = !text.empty() && text.front() == '[';
  if (bracketed && bracket == std::string_view::npos) {
    return Result::failure(expected(rules, "the closing bracket is missing"));
  }
  const bool has_port =
      colon != std::string_view::npos && (!bracketed || (colon > bracket && colon == bracket + 1));
  if (!has_port) return Result::failure(expected(rules, "the port is missing"));

  std::string_view host = text.substr(0, colon);
  if (bracketed) {
    host = host.substr(1, bracket - 1);
    if (!is_ipv6_with_zone(host)) {
      return Result::failure(expected(rules, "what is in brackets is not an IPv6 address"));
    }
  } else if (host.empty()) {
    return Result::failure(expected(rules, rules.port_zero
                                               ? "the host is missing (all addresses are \"[::]\")"
                                               : "the host is missing"));
  } else if (host.find(':') != std::string_view::npos) {
    return Result::failure(expected(rules, "an IPv6 address needs brackets, such as [::1]:7700"));
  } else if (const auto problem = name_problem(host)) {
    return Result::failure(expected(rules, *problem));
  }
  const auto port = parse_port(text.substr(colon + 1), rules);
  if (!port) {
    return Result::failure(expected(
        rules, rules.port_zero ? "a port is a number from 1 to 65535, or 0 for any free one"
                               : "a port is a number from 1 to 65535"));
  }
  return Address{.host = std::string(host), .port = *port, .unix_path = {}};
}

Checked<Endpoint> parse_endpoint(std::string_view text) {
  auto address = parse_address(text, AddressRules{});
  if (!address) return Checked<Endpoint>::failure(address.error());
  return Endpoint{std::move(address->host), address->port};
}

namespace config {

std::string canonical(const Address& address) {
  if (address.is_unix()) return to_string(address);
  const std::size_t percent = address.host.find('%');
  const auto groups = parse_ipv6(std::string_view(address.host).substr(0, percent));
  if (!groups) return lower(to_string(address));
  std::string host;
  for (const std::uint16_t group : *groups)
    host += std::to_string(group) + ":";
  if (percent != std::string::npos) host += address.host.substr(percent);
  return to_string(Endpoint{host, address.port});
}

}  // namespace config
}  // namespace backedpipe
