#include "daemon/ctl/options.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include <boost/program_options.hpp>

#include "config/names.hpp"
#include "config/settings.hpp"
#include "config/units.hpp"
#include "control/id_prefix.hpp"
#include "daemon/ctl/session_order.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kSystemSocket = "/run/backedpipd/control.sock";

enum class Takes { nothing, id, id_or_nothing, level_or_nothing, identity, file };

struct CommandForm {
  std::string_view name;
  Command command;
  Takes takes;
};

constexpr std::array kCommands{
    CommandForm{"status", Command::status, Takes::nothing},
    CommandForm{"sessions", Command::sessions, Takes::nothing},
    CommandForm{"session", Command::session, Takes::id},
    CommandForm{"events", Command::events, Takes::nothing},
    CommandForm{"watch", Command::watch, Takes::nothing},
    CommandForm{"reconnect", Command::reconnect, Takes::id_or_nothing},
    CommandForm{"close", Command::close, Takes::id},
    CommandForm{"reload", Command::reload, Takes::nothing},
    CommandForm{"drain", Command::drain, Takes::nothing},
    CommandForm{"stop", Command::stop, Takes::nothing},
    CommandForm{"upgrade", Command::upgrade, Takes::nothing},
    CommandForm{"log-level", Command::log_level, Takes::level_or_nothing},
    CommandForm{"keygen", Command::keygen, Takes::identity},
    CommandForm{"check", Command::check, Takes::file},
};

// The options for the parser; help_text() describes them.
po::options_description known_options() {
  po::options_description known;
  auto add = known.add_options();
  add("socket", po::value<std::string>());
  add("json", "");
  add("all", "");
  add("tunnel", po::value<std::string>());
  add("service", po::value<std::string>());
  add("peer", po::value<std::string>());
  add("state", po::value<std::string>());
  add("sort", po::value<std::string>());
  add("reverse", "");
  add("timeout", po::value<std::string>());
  add("no-wait", "");
  add("client", po::value<std::string>());
  add("server", po::value<std::string>());
  add("interval", po::value<std::string>());
  add("help,h", "");
  add("version", "");
  add("words", po::value<std::vector<std::string>>());
  return known;
}

std::string in_single_quotes(std::string_view word) {
  return "'" + visible(word) + "'";
}

std::string unknown_command(std::string_view word) {
  std::vector<std::string> names;
  std::string list;
  for (const CommandForm& form : kCommands) {
    names.emplace_back(form.name);
    list += list.empty() ? "" : ", ";
    list += form.name;
  }
  std::string text = "there is no command " + in_single_quotes(word);
  if (const auto nearest = nearest_name(word, names)) {
    return text + "; did you mean '" + *nearest + "'?";
  }
  return text + "; the commands are: " + list;
}

// What is wrong with the argument of a command; empty if nothing is.
std::string check_argument(const CommandForm& form, const std::string& argument) {
  switch (form.takes) {
    case Takes::id:
    case Takes::id_or_nothing:
      if (is_id_prefix(argument)) return {};
      return in_single_quotes(argument) +
             " is not a session's id: expected 32 hex digits, or at least the first 4";
    case Takes::identity:
      if (is_valid_identity(argument)) return {};
      return "found " + in_single_quotes(argument) + ", " + std::string(kExpectedIdentity);
    case Takes::level_or_nothing: {
      const auto level = parse_log_level(argument);
      return level ? "" : "found " + in_single_quotes(argument) + ", " + level.error();
    }
    case Takes::file:
      return argument.empty() ? "expected the name of a file" : "";
    case Takes::nothing:
      break;
  }
  return {};
}

std::string missing_argument(const CommandForm& form) {
  const std::string name(form.name);
  switch (form.takes) {
    case Takes::id:
      return "'" + name + "' needs the ID of a session, as 'sessions' lists them";
    case Takes::identity:
      return "'" + name + "' needs an IDENTITY: the name of the client that will use the key";
    case Takes::file:
      return "'" + name + "' needs the FILE to check";
    case Takes::nothing:
    case Takes::id_or_nothing:
    case Takes::level_or_nothing:
      break;
  }
  return {};
}

// Reads which sessions to show and in which order. Returns a problem, or an empty text.
std::string read_selection(const po::variables_map& given, Options& options) {
  const bool lists = options.command == Command::sessions || options.command == Command::watch;
  for (const auto& [name, value] :
       {std::pair{"tunnel", &options.filter.tunnel}, std::pair{"service", &options.filter.service},
        std::pair{"peer", &options.filter.peer}, std::pair{"state", &options.filter.state},
        std::pair{"sort", &options.sort}}) {
    if (given.count(name) == 0) continue;
    const std::string option = std::string("--") + name;
    if (!lists) return option + " belongs to 'sessions' and 'watch'";
    *value = given[name].as<std::string>();
    if (value->empty()) return option + " needs a value";
  }
  options.reverse = given.count("reverse") > 0;
  if (options.reverse && !lists) return "--reverse belongs to 'sessions' and 'watch'";
  const std::string& state = options.filter.state;
  if (!state.empty() && state != "connected" && state != "disconnected" &&
      state != "reconnecting") {
    return "found " + in_single_quotes(state) +
           " after --state, expected one of connected, disconnected, reconnecting";
  }
  if (options.sort.empty() || find_sort_key(options.sort) != nullptr) return {};
  std::string names;
  for (const SortKey& key : sort_keys()) {
    names += names.empty() ? "" : ", ";
    names += key.name;
  }
  return "found " + in_single_quotes(options.sort) + " after --sort, expected one of " + names;
}

// Reads how to drain, stop or upgrade. Returns a problem, or an empty text.
std::string read_drain(const po::variables_map& given, Options& options) {
  const bool drains = options.command == Command::drain;
  options.wait = given.count("no-wait") == 0;
  const bool waits =
      drains || options.command == Command::stop || options.command == Command::upgrade;
  if (!options.wait && !waits) return "--no-wait belongs to 'drain', 'stop' and 'upgrade'";
  if (given.count("timeout") == 0) return {};
  if (!drains) return "--timeout belongs to 'drain'";
  const auto& text = given["timeout"].as<std::string>();
  const auto timeout = parse_duration(text);
  if (!timeout) return "found " + in_single_quotes(text) + " after --timeout, " + timeout.error();
  options.timeout = *timeout;
  return {};
}

// Reads where a new key goes. Returns a problem, or an empty text.
std::string read_key_files(const po::variables_map& given, Options& options) {
  for (const auto& [name, file] :
       {std::pair{"client", &options.client_file}, std::pair{"server", &options.server_file}}) {
    if (given.count(name) == 0) continue;
    const std::string option = std::string("--") + name;
    if (options.command != Command::keygen) return option + " belongs to 'keygen'";
    *file = given[name].as<std::string>();
    if ((*file)->empty()) return option + " needs the name of a file";
  }
  if (options.client_file && options.client_file == options.server_file) {
    return "--client and --server are the files of two machines: give two names";
  }
  return {};
}

// Reads how often watch asks the daemon. Returns a problem, or an empty text.
std::string read_interval(const po::variables_map& given, Options& options) {
  if (given.count("interval") == 0) return {};
  if (options.command != Command::watch) return "--interval belongs to 'watch'";
  const auto& text = given["interval"].as<std::string>();
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, seconds, std::chars_format::fixed);
  // Written so that NaN is refused, too.
  if (read.ec != std::errc() || read.ptr != end || !(seconds >= 0.1 && seconds <= 3600)) {
    return "found " + in_single_quotes(text) +
           " after --interval, expected a number of seconds from 0.1 to 3600";
  }
  options.interval = std::chrono::milliseconds(std::lround(seconds * 1000));
  return {};
}

Checked<Options> interpret(const po::variables_map& given) {
  using Failure = Checked<Options>;

  Options options;
  options.json = given.count("json") > 0;
  if (given.count("socket") > 0) {
    options.socket = given["socket"].as<std::string>();
    if (options.socket->empty()) return Failure::failure("--socket needs a path");
  }
  if (given.count("help") > 0) return options;
  if (given.count("version") > 0) {
    options.command = Command::version;
    return options;
  }

  if (given.count("words") == 0) return Failure::failure("a command is missing");
  const auto& words = given["words"].as<std::vector<std::string>>();
  const CommandForm* form = nullptr;
  for (const CommandForm& candidate : kCommands) {
    if (candidate.name == words[0]) form = &candidate;
  }
  if (form == nullptr) return Failure::failure(unknown_command(words[0]));
  options.command = form->command;

  std::string selection = read_selection(given, options);
  if (!selection.empty()) return Failure::failure(std::move(selection));
  std::string drain = read_drain(given, options);
  if (!drain.empty()) return Failure::failure(std::move(drain));
  std::string key_files = read_key_files(given, options);
  if (!key_files.empty()) return Failure::failure(std::move(key_files));
  std::string interval = read_interval(given, options);
  if (!interval.empty()) return Failure::failure(std::move(interval));
  if (options.json && form->command == Command::watch) {
    return Failure::failure("'watch' is for people: for --json there are 'sessions' and 'events'");
  }
  const bool all = given.count("all") > 0;
  const std::size_t most = form->takes == Takes::nothing ? 1 : 2;
  if (all && form->command != Command::reconnect) {
    return Failure::failure("--all belongs to 'reconnect'");
  }
  if (all && words.size() > 1) {
    return Failure::failure("'reconnect' takes either an ID or --all");
  }
  if (words.size() > most) {
    return Failure::failure("unexpected " + in_single_quotes(words[most]) + " after '" +
                            std::string(form->name) + "'");
  }
  if (words.size() == 1) {
    std::string problem = missing_argument(*form);
    if (!problem.empty()) return Failure::failure(std::move(problem));
    return options;
  }
  options.argument = words[1];
  std::string problem = check_argument(*form, options.argument);
  if (!problem.empty()) return Failure::failure(std::move(problem));
  return options;
}

}  // namespace

Checked<Options> parse_options(const std::vector<std::string>& arguments) {
  // No abbreviations: a later option could make them ambiguous.
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  const po::options_description known = known_options();
  po::positional_options_description words;
  words.add("words", -1);
  po::variables_map given;
  try {
    po::store(
        po::command_line_parser(arguments).options(known).positional(words).style(style).run(),
        given);
  } catch (const po::error& error) {
    return Checked<Options>::failure(visible(error.what()));
  }
  return interpret(given);
}

std::string help_text() {
  return R"(Usage: backedpipctl [--socket PATH] [--json] COMMAND

Queries and controls a running backedpipd, and prepares its files.

Commands:
  status               the daemon at a glance
  sessions             every session, one a line
  session ID           one session in full, with the history of its links
  events               one line for each event as it happens, until interrupted
  watch                sessions and peers on the whole screen, as they change, like top
  reconnect [ID]       dial a new link now: for one session, or without an ID for all
  close ID             end a session; both applications see their connection reset
  reload               read the configuration, keys and certificates again; sessions stay
  drain                accept no new sessions, and end the daemon after the last one;
                       waits until then
  stop                 end all sessions and the daemon, also where a restart keeps them;
                       waits until then
  upgrade              replace a supervised daemon by the version that is installed now;
                       waits until that answers
  log-level [LEVEL]    set what is logged: trace, debug, info, warning, error or off;
                       without a LEVEL print the current one
  keygen IDENTITY      make a new key: print its line, or write it to files for both ends
  check FILE           check a configuration file and the key and certificate files it
                       names; needs no daemon, but run it as the daemon's user

An ID may be shortened to its first digits, at least 4, if only one session matches.

Options:
  --socket PATH        the daemon's control socket; default: $BACKEDPIPD_SOCKET, or
                       $XDG_RUNTIME_DIR/backedpipd/control.sock if that exists, or
                       /run/backedpipd/control.sock
  --json               print results as JSON (keygen still prints a key line)
  --all                with reconnect: every session
  --tunnel, --service, --peer, --state NAME
                       with sessions and watch: show only matching sessions; the states
                       are connected, disconnected and reconnecting
  --sort KEY           with sessions and watch: smallest or oldest first, by age (the
                       default), since, id, state, tunnel, service, peer,
                       identity, generation, in, out, unacked, buffered, rtt or
                       reconnects
  --reverse            with sessions and watch: largest or newest first
  --interval SECONDS   with watch: how often it asks the daemon, 0.1 to 3600 (default: 1)
  --timeout DURATION   with drain: end after this time in any case, such as 10m (default:
                       limits.shutdown_timeout)
  --no-wait            with drain, stop and upgrade: do not wait until it has happened
  --client FILE        with keygen: create this file, with the key for the client
  --server FILE        with keygen: add the key to this file with a server's keys
  --help, -h           print this and exit
  --version            print the version and exit

Exit status: 0 done; 1 failed; 2 wrong usage; 3 the daemon cannot be reached;
4 (status only) a peer is down.
)";
}

std::string default_socket_path(std::string_view backedpipd_socket,
                                std::string_view xdg_runtime_dir) {
  if (!backedpipd_socket.empty()) return std::string(backedpipd_socket);
  if (!xdg_runtime_dir.empty()) {
    const std::string own = std::string(xdg_runtime_dir) + "/backedpipd/control.sock";
    std::error_code ignored;
    if (std::filesystem::exists(own, ignored)) return own;
  }
  return std::string(kSystemSocket);
}

}  // namespace backedpipe::ctl
