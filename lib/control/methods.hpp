// The methods of the control socket, without the JSON-RPC envelope.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "control/request.hpp"
#include "control/snapshot_json.hpp"

namespace backedpipe {

struct MethodError {
  ControlError code;
  std::string message;
  OrderedJson data;  // null: none
};

// The result as JSON text, or an error. Text, because a list of ten thousand sessions takes several
// times as much memory as a tree of JSON values.
using MethodOutcome = std::variant<std::string, MethodError>;

// `params` is null when the request has none.
MethodOutcome call_method(const std::string& method, const nlohmann::json& params,
                          ControlTarget& target);

}  // namespace backedpipe
