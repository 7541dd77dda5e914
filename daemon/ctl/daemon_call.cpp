#include "daemon/ctl/daemon_call.hpp"

#include <chrono>

#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

constexpr std::chrono::seconds kTimeout{5};

std::string sentence(const Json& error) {
  std::string message = visible(text(error, "message"));
  const auto data = error.find("data");
  if (data != error.end() && data->is_object() && data->contains("candidates") &&
      data->at("candidates").is_array()) {
    for (const Json& candidate : data->at("candidates")) {
      if (candidate.is_string()) message += "\n  " + visible(candidate.get<std::string>());
    }
  }
  return message.empty() ? "the daemon refused without a reason" : message;
}

}  // namespace

std::string to_line(const Request& request) {
  return Json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", request.method}, {"params", request.params}}
      .dump();
}

Outcome result_in(const std::string& line, const std::string& path) {
  const Json reply = Json::parse(line, nullptr, false);
  if (reply.is_object() && reply.contains("error") && reply.at("error").is_object()) {
    return Outcome::failure({ExitCode::failed, sentence(reply.at("error"))});
  }
  if (!reply.is_object() || !reply.contains("result")) {
    return Outcome::failure(
        {ExitCode::unreachable,
         "what answers at " + visible(path) + " is not backedpipd: its reply is not JSON-RPC"});
  }
  return reply.at("result");
}

Failure to_failure(const Unreachable& unreachable, const std::string& path) {
  return {ExitCode::unreachable, "cannot reach backedpipd at " + visible(path) + ": " +
                                     unreachable.problem + "\n" + unreachable.advice};
}

Outcome call(const std::string& path, const Request& request) {
  const auto answer = ask(path, to_line(request), kTimeout);
  if (!answer) return Outcome::failure(to_failure(answer.error(), path));
  return result_in(*answer, path);
}

}  // namespace backedpipe::ctl
