#include "daemon/options.hpp"

#include <iostream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <boost/program_options.hpp>

#include "config/check_files.hpp"
#include "config/config_error.hpp"
#include "config/load_settings.hpp"
#include "config/names.hpp"
#include "net/link/tls/check_certificates.hpp"

namespace backedpipe {
namespace {

namespace po = boost::program_options;

constexpr std::chrono::milliseconds kLeastConnectTimeout{10};
constexpr std::chrono::milliseconds kMostConnectTimeout = std::chrono::hours(24);
// Twice the room for one session's replay buffer and window, rounded up.
constexpr std::uint64_t kStdioMemoryBytes = 256 * kMiB;

constexpr std::string_view kUsage = R"(backedpipd keeps TCP sessions alive across network drops.

  backedpipd [--supervise] --config FILE [--check]
      runs what FILE configures, or only checks FILE
  backedpipd [--supervise] serve --listen HOST:PORT --service NAME=HOST:PORT... SECURITY
      accepts links, and connects their sessions to the named services
  backedpipd [--supervise] connect --listen HOST:PORT --peer HOST:PORT... --service NAME SECURITY
      listens for applications, and connects each to that service of the peer
  backedpipd stdio --peer HOST:PORT... --service NAME SECURITY
      connects standard input and output to that service of the peer: for ssh's ProxyCommand

SECURITY is --key FILE, or --ca FILE --cert FILE --cert-key FILE, or --insecure.
Make a key with "backedpipctl keygen laptop > laptop.key" (umask 077); both ends need the file.
A target or a listening address may be unix:/path; IPv6 addresses are written [::1]:7700.

)";

po::options_description common_options() {
  po::options_description options("Options");
  options.add_options()                                                                   //
      ("config", po::value<std::string>()->value_name("FILE"), "the configuration file")  //
      ("check",
       "only check the configuration and its key and certificate files, and report every error; "
       "run it as the daemon's user")  //
      ("supervise",
       "with --config, serve or connect: run the daemon as a child, and start it again when it "
       "dies")  //
      ("log-level", po::value<std::string>()->value_name("LEVEL"),
       "trace, debug, info, warning, error or off (default: info; stdio: off)")  //
      ("help,h", "this text")                                                    //
      ("version,V", "the version");
  return options;
}

po::options_description link_options() {
  po::options_description options("Options of serve, connect and stdio");
  options.add_options()  //
      ("listen", po::value<std::string>()->value_name("HOST:PORT"),
       "where to accept links (serve) or applications (connect)")  //
      ("service", po::value<std::vector<std::string>>()->value_name("NAME[=TARGET]"),
       "serve: a service and its target, may be given several times; connect and stdio: the "
       "service to connect to")  //
      ("peer", po::value<std::vector<std::string>>()->value_name("HOST:PORT"),
       "connect and stdio: where the server is; several are tried in order")  //
      ("key", po::value<std::string>()->value_name("FILE"),
       "the key file, readable by its owner only")  //
      ("ca", po::value<std::string>()->value_name("FILE"),
       "with certificates: the CAs that may have issued the other side's certificate (PEM)")  //
      ("cert", po::value<std::string>()->value_name("FILE"), "our certificate (PEM)")         //
      ("cert-key", po::value<std::string>()->value_name("FILE"),
       "the private key of --cert (PEM), readable by its owner only")  //
      ("server-name", po::value<std::string>()->value_name("NAME"),
       "connect and stdio, with certificates: the name that the server's certificate must have "
       "(default: the host of a --peer)")                                                       //
      ("insecure", "no encryption and no authentication: only inside a network that has both")  //
      ("control", po::value<std::string>()->value_name("PATH"),
       "serve and connect: where to create the control socket for backedpipctl")  //
      ("connect-timeout", po::value<std::string>()->value_name("TIME"),
       "stdio: give up if there is no link to the server within this time (default: 30s)")  //
      ("quiet", "stdio: print nothing about the link, only why it failed");
  return options;
}

[[noreturn]] void misuse(const std::string& what) {
  throw UsageError(what + "\nTry \"backedpipd --help\".");
}

const std::string& required(const po::variables_map& values, const std::string& name,
                            std::string_view command) {
  if (values.count(name) == 0) misuse(std::string(command) + " needs --" + name);
  return values[name].as<std::string>();
}

template <typename Parsed>
auto checked(Parsed parsed, const std::string& option, std::string_view text) {
  if (!parsed) misuse("--" + option + ": found " + in_quotes(text) + ", " + parsed.error());
  return *parsed;
}

std::string service_name(std::string_view text) {
  if (!is_valid_name(text)) {
    misuse("--service: found " + in_quotes(text) + ", " + std::string(kExpectedName));
  }
  return std::string(text);
}

// A pre-shared key, certificates, or --insecure: exactly one of them. For peers and for accept.
template <class Link>
void read_security(const po::variables_map& values, std::string_view command, Link& link) {
  const bool insecure = values.count("insecure") != 0;
  const bool psk = values.count("key") != 0;
  const std::size_t files = values.count("ca") + values.count("cert") + values.count("cert-key");
  if ((insecure ? 1 : 0) + (psk ? 1 : 0) + (files > 0 ? 1 : 0) != 1) {
    misuse(std::string(command) +
           " needs one of --key FILE, the three --ca, --cert and --cert-key, or --insecure");
  }
  if (insecure) {
    link.security = Security::none;
  } else if (psk) {
    link.security = Security::psk;
    link.key_file = values["key"].as<std::string>();
  } else {
    link.security = Security::tls;
    link.certificates = {required(values, "ca", command), required(values, "cert", command),
                         required(values, "cert-key", command)};
  }
}

Settings serve_settings(const po::variables_map& values) {
  Settings settings;
  AcceptSettings accept;
  const std::string& listen = required(values, "listen", "serve");
  accept.listen = checked(parse_address(listen, kLinkListenRules), "listen", listen);
  read_security(values, "serve", accept);
  accept.allow[std::string(kAnyName)] = {std::string(kAnyName)};
  settings.accept.push_back(std::move(accept));
  if (values.count("peer") != 0) misuse("serve has no --peer");
  if (values.count("server-name") != 0) misuse("serve has no --server-name");
  if (values.count("service") == 0) misuse("serve needs --service NAME=HOST:PORT");
  for (const std::string& text : values["service"].as<std::vector<std::string>>()) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
      misuse("--service: found " + in_quotes(text) + ", expected NAME=HOST:PORT");
    }
    const std::string target = text.substr(equals + 1);
    ServiceSettings service{service_name(text.substr(0, equals)),
                            checked(parse_address(target, kTargetRules), "service", target)};
    if (settings.find_service(service.name) != nullptr) {
      misuse("--service: " + in_quotes(service.name) + " is given twice");
    }
    settings.services.push_back(std::move(service));
  }
  return settings;
}

// The server to dial, for connect and stdio.
PeerSettings peer_settings(const po::variables_map& values, const std::string& command) {
  PeerSettings peer;
  peer.name = "peer";
  if (values.count("peer") == 0) misuse(command + " needs --peer HOST:PORT");
  for (const std::string& text : values["peer"].as<std::vector<std::string>>()) {
    peer.endpoints.push_back(checked(parse_endpoint(text), "peer", text));
  }
  read_security(values, command, peer);
  if (values.count("server-name") != 0) {
    const std::string& name = values["server-name"].as<std::string>();
    if (peer.security != Security::tls)
      misuse("--server-name goes with --ca, --cert and --cert-key");
    if (!is_valid_server_name(name)) {
      misuse("--server-name: found " + in_quotes(name) + ", " + std::string(kExpectedServerName));
    }
    peer.allowed_names = {name};
  }
  return peer;
}

std::string wanted_service(const po::variables_map& values, const std::string& command) {
  if (values.count("service") == 0) misuse(command + " needs --service NAME");
  const auto& services = values["service"].as<std::vector<std::string>>();
  if (services.size() != 1) misuse(command + " takes one --service");
  return service_name(services.front());
}

Settings connect_settings(const po::variables_map& values) {
  Settings settings;
  settings.peers.push_back(peer_settings(values, "connect"));
  TunnelSettings tunnel;
  tunnel.peer = settings.peers.front().name;
  const std::string& listen = required(values, "listen", "connect");
  tunnel.listen = checked(parse_address(listen, kListenRules), "listen", listen);
  tunnel.name = tunnel.service = wanted_service(values, "connect");
  settings.tunnels.push_back(std::move(tunnel));
  return settings;
}

Settings stdio_settings(const po::variables_map& values) {
  for (const char* const option : {"listen", "control"}) {
    if (values.count(option) != 0) misuse("stdio has no --" + std::string(option));
  }
  Settings settings;
  settings.peers.push_back(peer_settings(values, "stdio"));
  settings.log.level = LogLevel::off;
  settings.limits.max_memory_bytes = kStdioMemoryBytes;
  settings.limits.spare_links = 0;  // there is only one session
  return settings;
}

StdioOptions stdio_options(const po::variables_map& values) {
  StdioOptions options;
  options.service = wanted_service(values, "stdio");
  options.quiet = values.count("quiet") != 0;
  if (values.count("connect-timeout") != 0) {
    const std::string& text = values["connect-timeout"].as<std::string>();
    options.connect_timeout = checked(parse_duration(text), "connect-timeout", text);
    if (options.connect_timeout < kLeastConnectTimeout ||
        options.connect_timeout > kMostConnectTimeout) {
      misuse("--connect-timeout: found " + in_quotes(text) + ", expected 10ms to 24h");
    }
  }
  return options;
}

Command supervision_of(std::vector<std::string> arguments, std::string file) {
  Command command;
  command.kind = Command::Kind::supervise;
  command.file = std::move(file);
  command.supervised = std::move(arguments);
  return command;
}

Settings file_settings(const std::string& path) {
  auto settings = load_settings(path);
  if (!settings) throw std::runtime_error(to_string(settings.error()));
  return std::move(*settings);
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  po::options_description hidden;
  hidden.add_options()("command", po::value<std::string>());
  po::options_description all;
  all.add(common_options()).add(link_options()).add(hidden);
  po::positional_options_description positional;
  positional.add("command", 1);

  po::variables_map values;
  std::vector<std::string> supervised;
  try {
    const po::parsed_options parsed =
        po::command_line_parser(argc, argv).options(all).positional(positional).run();
    for (const auto& option : parsed.options) {
      if (option.string_key == "supervise") continue;
      supervised.insert(supervised.end(), option.original_tokens.begin(),
                        option.original_tokens.end());
    }
    po::store(parsed, values);
  } catch (const po::error& error) {
    misuse(error.what());
  }

  Command command;
  if (values.count("help") != 0) {
    std::ostringstream text;
    text << kUsage << common_options() << '\n' << link_options();
    return {Command::Kind::print, text.str(), {}, {}, {}, {}};
  }
  if (values.count("version") != 0) {
    return {Command::Kind::print, "backedpipd " BACKEDPIPE_VERSION "\n", {}, {}, {}, {}};
  }

  const std::string mode = values.count("command") != 0 ? values["command"].as<std::string>() : "";
  if (!mode.empty() && (values.count("config") != 0 || values.count("check") != 0)) {
    misuse("--config and --check do not go with " + mode);
  }
  if (mode == "stdio" && values.count("supervise") != 0) {
    misuse("--supervise does not go with stdio, which ends with its session");
  }
  const bool supervise = values.count("supervise") != 0 && values.count("check") == 0;
  if (mode != "stdio") {
    for (const char* const option : {"connect-timeout", "quiet"}) {
      if (values.count(option) != 0) misuse("--" + std::string(option) + " goes with stdio only");
    }
  }
  if (mode.empty()) {
    if (values.count("config") == 0)
      misuse("nothing to do: give --config FILE, serve, connect or stdio");
    const po::options_description other = link_options();
    for (const auto& option : other.options()) {
      if (values.count(option->long_name()) != 0) {
        misuse("--" + option->long_name() + " goes with a command, not with --config");
      }
    }
    command.file = values["config"].as<std::string>();
    if (supervise) return supervision_of(std::move(supervised), command.file);
    command.settings = file_settings(command.file);
    if (values.count("check") != 0) {
      command.kind = Command::Kind::check;
      ConfigErrors errors = check_key_files(command.settings, command.file);
      CertificateReport certificates = check_certificates(command.settings);
      errors.insert(errors.end(), certificates.errors.begin(), certificates.errors.end());
      command.warnings = std::move(certificates.warnings);
      if (!errors.empty()) throw std::runtime_error(to_string(errors));
    }
  } else if (mode == "stdio") {
    command.kind = Command::Kind::stdio;
    command.settings = stdio_settings(values);
    command.stdio = stdio_options(values);
  } else if (mode == "serve" || mode == "connect") {
    if (supervise) return supervision_of(std::move(supervised), {});
    command.settings = mode == "serve" ? serve_settings(values) : connect_settings(values);
    if (values.count("control") != 0) {
      command.settings.control.socket = values["control"].as<std::string>();
    }
  } else {
    misuse("no command named " + in_quotes(mode) + "; there are serve, connect and stdio");
  }
  std::optional<LogLevel> level;
  if (values.count("log-level") != 0) {
    const std::string& text = values["log-level"].as<std::string>();
    level = checked(parse_log_level(text), "log-level", text);
    command.settings.log.level = *level;
  }
  command.reread = [file = command.file, settings = command.settings, level] {
    if (file.empty()) return settings;
    Settings fresh = file_settings(file);
    if (level) fresh.log.level = *level;
    return fresh;
  };
  return command;
}

}  // namespace backedpipe
