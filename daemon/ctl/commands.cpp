#include "daemon/ctl/commands.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "config/check_files.hpp"
#include "config/load_settings.hpp"
#include "daemon/ctl/daemon_call.hpp"
#include "daemon/ctl/drain.hpp"
#include "daemon/ctl/events.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/keygen.hpp"
#include "daemon/ctl/session_order.hpp"
#include "daemon/ctl/text.hpp"
#include "daemon/ctl/upgrade.hpp"
#include "daemon/ctl/views.hpp"
#include "daemon/ctl/watch/watch.hpp"
#include "net/link/tls/check_certificates.hpp"

namespace backedpipe::ctl {
namespace {

// ASCII only, so that no control characters beyond ASCII reach the terminal.
std::string pretty(const Json& value) {
  return value.dump(2, ' ', true, Json::error_handler_t::replace) + '\n';
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

std::string socket_path(const Options& options) {
  if (options.socket) return *options.socket;
  return default_socket_path(environment("BACKEDPIPD_SOCKET"), environment("XDG_RUNTIME_DIR"));
}

Json filter_params(const Filter& filter) {
  Json params = Json::object();
  for (const auto& [name, value] :
       {std::pair{"tunnel", &filter.tunnel}, std::pair{"service", &filter.service},
        std::pair{"peer", &filter.peer}, std::pair{"state", &filter.state}}) {
    if (!value->empty()) params[name] = *value;
  }
  return params;
}

Request request_for(const Options& options) {
  switch (options.command) {
    case Command::sessions:
      return {"sessions", filter_params(options.filter)};
    case Command::session:
      return {"session", {{"id", options.argument}}};
    case Command::close:
      return {"close", {{"id", options.argument}}};
    case Command::reload:
      return {"reload"};
    case Command::reconnect:
      if (options.argument.empty()) return {"reconnect", {{"all", true}}};
      return {"reconnect", {{"id", options.argument}}};
    case Command::log_level:
      if (options.argument.empty()) return {"log_level"};
      return {"log_level", {{"level", options.argument}}};
    default:
      return {"status"};
  }
}

std::string reload_text(const Json& result) {
  std::string told = "reloaded; sessions stay as they are\n";
  const auto later = result.find("after_restart");
  if (later == result.end() || !later->is_array()) return told;
  for (const Json& setting : *later) {
    if (setting.is_string())
      told += "used after a restart only: " + visible(setting.get<std::string>()) + '\n';
  }
  return told;
}

std::string render(const Options& options, const Json& result) {
  if (options.json) return pretty(result);
  const WallTime now = std::chrono::system_clock::now();
  switch (options.command) {
    case Command::sessions:
      return render_sessions(result, now);
    case Command::session:
      return render_session(result, now);
    case Command::log_level:
      return visible(text(result, "level")) + '\n';
    case Command::close:
      return "closed " + visible(text(result, "id")) + '\n';
    case Command::reload:
      return reload_text(result);
    case Command::reconnect: {
      if (!options.argument.empty()) return "reconnecting " + visible(text(result, "id")) + '\n';
      const auto found = result.find("reconnecting");
      const bool known = found != result.end() && found->is_number_unsigned();
      return "reconnecting " + counted(known ? found->get<std::uint64_t>() : 0, "session") + '\n';
    }
    default:
      return render_status(result);
  }
}

bool any_peer_is_down(const Json& status) {
  const auto peers = status.find("peers");
  if (peers == status.end() || !peers->is_array()) return false;
  return std::any_of(peers->begin(), peers->end(),
                     [](const Json& peer) { return text(peer, "state") == "down"; });
}

ExitCode ask_daemon(const Options& options) {
  Outcome result = call(socket_path(options), request_for(options));
  if (!result) return fail(result.error().code, result.error().message);
  if (options.command == Command::sessions) {
    const SortKey* key = find_sort_key(options.sort);
    sort_sessions(*result, key == nullptr ? sort_keys().front() : *key, options.reverse);
  }
  std::cout << render(options, *result);
  const bool status = options.command == Command::status;
  return status && any_peer_is_down(*result) ? ExitCode::peer_down : ExitCode::done;
}

Json to_json(const ConfigErrors& errors) {
  Json list = Json::array();
  for (const ConfigError& error : errors) {
    list.push_back({{"file", error.file},
                    {"line", error.line},
                    {"column", error.column},
                    {"pointer", error.pointer},
                    {"message", error.message}});
  }
  return list;
}

ExitCode check(const Options& options) {
  const auto settings = load_settings(options.argument);
  ConfigErrors errors = settings ? check_key_files(*settings, options.argument) : settings.error();
  CertificateReport certificates;
  if (settings) certificates = check_certificates(*settings);
  errors.insert(errors.end(), certificates.errors.begin(), certificates.errors.end());
  if (options.json) {
    std::cout << pretty({{"file", options.argument},
                         {"ok", errors.empty()},
                         {"errors", to_json(errors)},
                         {"warnings", to_json(certificates.warnings)}});
  } else {
    for (const ConfigError& error : errors)
      std::cerr << visible(to_string(error)) << '\n';
    for (const ConfigError& warning : certificates.warnings)
      std::cerr << "warning: " << visible(to_string(warning)) << '\n';
    if (errors.empty()) std::cout << visible(options.argument) << ": ok\n";
  }
  return errors.empty() ? ExitCode::done : ExitCode::failed;
}

}  // namespace

ExitCode run(const Options& options) {
  ExitCode code = ExitCode::done;
  switch (options.command) {
    case Command::help:
      std::cout << help_text();
      break;
    case Command::version:
      std::cout << "backedpipctl " BACKEDPIPE_VERSION "\n";
      break;
    case Command::events:
      code = print_events(socket_path(options), options.json);
      break;
    case Command::drain:
      code = drain(socket_path(options), options);
      break;
    case Command::stop:
      code = stop(socket_path(options), options);
      break;
    case Command::upgrade:
      code = upgrade(socket_path(options), options);
      break;
    case Command::watch: {
      const SortKey* key = find_sort_key(options.sort);
      code =
          watch({socket_path(options), filter_params(options.filter),
                 key == nullptr ? sort_keys().front() : *key, options.reverse, options.interval});
      break;
    }
    case Command::keygen:
      code = keygen(options);
      break;
    case Command::check:
      code = check(options);
      break;
    default:
      code = ask_daemon(options);
  }
  // A failed write of a key to its file must not look like success.
  if (!std::cout.flush()) return fail(ExitCode::failed, "cannot write to standard output");
  return code;
}

}  // namespace backedpipe::ctl
