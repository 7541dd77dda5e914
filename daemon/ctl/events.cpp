#include "daemon/ctl/events.hpp"

#include <chrono>
#include <iostream>
#include <optional>

#include <nlohmann/json.hpp>

#include "daemon/ctl/daemon_call.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

constexpr std::chrono::seconds kTimeout{5};

// The line for a notification; empty for one that this version does not know.
std::string line_for(const Json& notification, bool json) {
  if (!notification.is_object() || !notification.contains("params")) return {};
  Json params = notification.at("params");
  if (!params.is_object()) return {};
  const std::string method = text(notification, "method");
  if (method == "dropped") {
    params = Json{{"event", "dropped"}, {"events", params.value("events", 0)}};
    if (!json) return params.at("events").dump() + " events were missed: read too slowly";
  } else if (method != "event") {
    return {};
  }
  // ASCII only, so that no control characters beyond ASCII reach the terminal.
  if (json) return params.dump(-1, ' ', true, Json::error_handler_t::replace);
  return visible(text(params, "time")) + " " + visible(text(params, "text"));
}

}  // namespace

ExitCode print_events(const std::string& path, bool json) {
  std::optional<Failure> failure;
  bool subscribed = false;
  const auto unreachable =
      follow(path, to_line({"events"}), kTimeout, [&](const std::string& line) {
        if (!subscribed) {
          const Outcome result = result_in(line, path);
          if (!result) failure = result.error();
          subscribed = result.ok();
          return subscribed;
        }
        const std::string text = line_for(Json::parse(line, nullptr, false), json);
        if (!text.empty()) std::cout << text << '\n';
        return static_cast<bool>(std::cout.flush());
      });
  if (unreachable && subscribed) {
    failure = Failure{ExitCode::unreachable, "the daemon has closed the connection"};
  } else if (unreachable) {
    failure = to_failure(*unreachable, path);
  }
  if (!failure) return std::cout ? ExitCode::done : ExitCode::failed;
  return fail(failure->code, failure->message);
}

}  // namespace backedpipe::ctl
