#include "control/methods.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <vector>

#include "control/id_prefix.hpp"

namespace backedpipe {
namespace {

using Json = nlohmann::json;

// How much of a request's text an error quotes, and how many ids it lists for an ambiguous prefix.
constexpr std::size_t kMaxQuotedBytes = 64;
constexpr std::size_t kMaxCandidates = 8;
// A year, as in the configuration.
constexpr int kMostDrainSeconds = 365 * 24 * 3600;

std::string in_quotes(std::string_view text) {
  std::string quoted("\"");
  std::size_t end = std::min(text.size(), kMaxQuotedBytes);
  // Do not cut inside a character: continuation bytes of UTF-8 are 10xxxxxx.
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  quoted.append(text.substr(0, end));
  if (end < text.size()) quoted += "...";
  return quoted += '"';
}

std::string joined(std::initializer_list<std::string_view> words) {
  std::string text;
  for (std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

MethodError invalid_params(std::string message) {
  return {ControlError::invalid_params, std::move(message), nullptr};
}

MethodError not_found(std::string_view id) {
  return {ControlError::not_found, "no session " + std::string(id), nullptr};
}

// Parameters must be named, and must be among those allowed: a filter with a misspelt name must not
// select every session.
std::optional<MethodError> check_names(const Json& params,
                                       std::initializer_list<std::string_view> allowed) {
  if (params.is_null() || (params.is_array() && params.empty())) return std::nullopt;
  const std::string expected =
      allowed.size() == 0 ? "this method takes no params" : "allowed: " + joined(allowed);
  if (!params.is_object()) return invalid_params("params must be an object; " + expected);
  for (const auto& item : params.items()) {
    if (std::find(allowed.begin(), allowed.end(), item.key()) == allowed.end()) {
      return invalid_params("unknown parameter " + in_quotes(item.key()) + "; " + expected);
    }
  }
  return std::nullopt;
}

const Json* find(const Json& params, const char* key) {
  if (!params.is_object()) return nullptr;
  const auto found = params.find(key);
  return found == params.end() ? nullptr : &*found;
}

std::variant<SessionId, MethodError> find_session(const Json& params, ControlTarget& target) {
  const Json* id = find(params, "id");
  const std::string* text = id == nullptr ? nullptr : id->get_ptr<const std::string*>();
  if (text == nullptr || !is_id_prefix(*text)) {
    return invalid_params(
        "\"id\" must be a session's id: 32 hex digits as a string, or at least the first 4");
  }
  if (const std::optional<SessionId> whole = parse_session_id(*text)) return *whole;

  std::optional<SessionId> match;
  std::size_t matches = 0;
  OrderedJson candidates = OrderedJson::array();
  for (const SessionSnapshot& session : target.sessions()) {
    if (!begins_with(session.id, *text)) continue;
    match = session.id;
    if (++matches <= kMaxCandidates) candidates.push_back(to_string(session.id));
  }
  if (matches == 0) return not_found(*text);
  if (matches > 1) {
    return MethodError{ControlError::ambiguous,
                       "the ids of " + std::to_string(matches) + " sessions begin with " + *text +
                           ": give more digits",
                       OrderedJson{{"candidates", std::move(candidates)}}};
  }
  return *match;
}

MethodOutcome status(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {})) return *error;
  return to_text(to_json(target.status()));
}

MethodOutcome sessions(const Json& params, ControlTarget& target) {
  static constexpr std::array kStates{PipeState::connected, PipeState::disconnected,
                                      PipeState::reconnecting, PipeState::closed};

  if (auto error = check_names(params, {"tunnel", "service", "peer", "state"})) return *error;
  for (const char* key : {"tunnel", "service", "peer", "state"}) {
    const Json* value = find(params, key);
    if (value != nullptr && !value->is_string()) {
      return invalid_params(in_quotes(key) + " must be a string");
    }
  }
  if (const Json* state = find(params, "state")) {
    const auto& wanted = state->get_ref<const std::string&>();
    if (std::none_of(kStates.begin(), kStates.end(),
                     [&wanted](PipeState known) { return name(known) == wanted; })) {
      return invalid_params("no state " + in_quotes(wanted) +
                            "; allowed: connected, disconnected, reconnecting, closed");
    }
  }

  const auto matches = [&params](const char* key, std::string_view value) {
    const Json* wanted = find(params, key);
    return wanted == nullptr || wanted->get_ref<const std::string&>() == value;
  };
  std::string list = "[";
  for (const SessionSnapshot& session : target.sessions()) {
    if (!matches("tunnel", session.tunnel) || !matches("service", session.service) ||
        !matches("peer", session.peer) || !matches("state", name(session.state))) {
      continue;
    }
    if (list.size() > 1) list += ',';
    list += to_text(to_json(session));
  }
  return list += ']';
}

MethodOutcome session(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {"id"})) return *error;
  const auto id = find_session(params, target);
  if (const auto* error = std::get_if<MethodError>(&id)) return *error;
  const auto found = target.session(std::get<SessionId>(id));
  if (!found) return not_found(to_string(std::get<SessionId>(id)));
  OrderedJson json = to_json(*found);
  json["history"] = history_json(*found);
  return to_text(json);
}

MethodOutcome reconnect(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {"id", "all"})) return *error;
  const Json* all = find(params, "all");
  if ((all != nullptr) == (find(params, "id") != nullptr) ||
      (all != nullptr && (!all->is_boolean() || !all->get<bool>()))) {
    return invalid_params("give either \"id\" or \"all\": true");
  }
  if (all != nullptr) return to_text({{"reconnecting", target.reconnect_all()}});

  const auto id = find_session(params, target);
  if (const auto* error = std::get_if<MethodError>(&id)) return *error;
  const std::string digits = to_string(std::get<SessionId>(id));
  switch (target.reconnect(std::get<SessionId>(id))) {
    case ReconnectOutcome::done:
      return to_text({{"id", digits}, {"reconnecting", 1}});
    case ReconnectOutcome::not_here:
      return MethodError{ControlError::not_here,
                         "session " + digits +
                             " was accepted here, and a server cannot dial: ask the daemon of its "
                             "client to reconnect",
                         nullptr};
    case ReconnectOutcome::not_found:
      break;
  }
  return not_found(digits);
}

MethodOutcome close(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {"id"})) return *error;
  const auto id = find_session(params, target);
  if (const auto* error = std::get_if<MethodError>(&id)) return *error;
  const std::string digits = to_string(std::get<SessionId>(id));
  if (!target.close(std::get<SessionId>(id))) return not_found(digits);
  return to_text({{"id", digits}, {"closed", true}});
}

MethodOutcome reload(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {})) return *error;
  const ReloadOutcome outcome = target.reload();
  if (outcome.problem) {
    return MethodError{ControlError::reload_failed, "nothing is changed: " + *outcome.problem,
                       nullptr};
  }
  return to_text({{"reloaded", true}, {"after_restart", outcome.after_restart}});
}

MethodOutcome drain(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {"timeout_s"})) return *error;
  std::optional<Duration> timeout;
  if (const Json* given = find(params, "timeout_s"); given != nullptr) {
    const double seconds = given->is_number() ? given->get<double>() : -1;
    if (!(seconds >= 0 && seconds <= kMostDrainSeconds)) {
      return invalid_params("\"timeout_s\" must be a number of seconds from 0 to " +
                            std::to_string(kMostDrainSeconds));
    }
    timeout = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
  const DrainOutcome outcome = target.drain(timeout);
  return to_text({{"draining", true},
                  {"sessions", outcome.sessions},
                  {"timeout_s", std::chrono::duration<double>(outcome.timeout).count()}});
}

MethodOutcome stop(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {})) return *error;
  return to_text({{"stopping", true}, {"sessions", target.drain(Duration(0)).sessions}});
}

MethodOutcome upgrade(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {})) return *error;
  const UpgradeOutcome outcome = target.upgrade();
  if (!outcome.supervisor) {
    return MethodError{ControlError::no_supervisor,
                       "no supervisor: this daemon was not started with --supervise. Under "
                       "systemd, \"systemctl restart backedpipd\" starts the version that is "
                       "installed now",
                       nullptr};
  }
  return to_text({{"upgrading", true}, {"supervisor", *outcome.supervisor}});
}

MethodOutcome events(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {})) return *error;
  target.subscribe();
  return to_text({{"subscribed", true}});
}

MethodOutcome log_level(const Json& params, ControlTarget& target) {
  if (auto error = check_names(params, {"level"})) return *error;
  if (const Json* level = find(params, "level"); level != nullptr) {
    if (!level->is_string() || !target.set_log_level(level->get_ref<const std::string&>())) {
      return invalid_params(
          "\"level\" must be \"trace\", \"debug\", \"info\", \"warning\", \"error\" or \"off\"");
    }
  }
  return to_text({{"level", target.log_level()}});
}

struct Method {
  std::string_view name;
  MethodOutcome (*call)(const Json& params, ControlTarget& target);
};

constexpr std::array kMethods{
    Method{"status", status},       Method{"sessions", sessions},  Method{"session", session},
    Method{"reconnect", reconnect}, Method{"close", close},        Method{"reload", reload},
    Method{"drain", drain},         Method{"stop", stop},          Method{"upgrade", upgrade},
    Method{"events", events},       Method{"log_level", log_level}};

}  // namespace

MethodOutcome call_method(const std::string& method, const Json& params, ControlTarget& target) {
  std::string known;
  for (const Method& candidate : kMethods) {
    if (candidate.name == method) return candidate.call(params, target);
    if (!known.empty()) known += ", ";
    known += candidate.name;
  }
  return MethodError{ControlError::method_not_found,
                     "no method " + in_quotes(method) + "; there are: " + known, nullptr};
}

}  // namespace backedpipe
