// Calls the control socket's methods. A failure has an exit code and a sentence.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "config/checked.hpp"
#include "daemon/ctl/control_client.hpp"
#include "daemon/ctl/exit_code.hpp"

namespace backedpipe::ctl {

struct Request {
  std::string method;
  nlohmann::ordered_json params = nlohmann::ordered_json::object();
};

struct Failure {
  ExitCode code;
  std::string message;
};

using Outcome = Checked<nlohmann::ordered_json, Failure>;

// The request as a line, and the result in the line that answers it. `path` is the socket's path.
std::string to_line(const Request& request);
Outcome result_in(const std::string& line, const std::string& path);

Failure to_failure(const Unreachable& unreachable, const std::string& path);

// Sends one request and returns its result. Blocks, for a few seconds at most.
Outcome call(const std::string& path, const Request& request);

}  // namespace backedpipe::ctl
