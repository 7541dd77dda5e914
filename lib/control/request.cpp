#include "control/request.hpp"

#include <nlohmann/json.hpp>

#include "control/methods.hpp"
#include "control/snapshot_json.hpp"

namespace backedpipe {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kNoId = "null";

// `id` is JSON text.
std::string result_reply(std::string_view id, std::string_view result) {
  std::string reply = R"({"jsonrpc":"2.0","id":)";
  return reply.append(id).append(R"(,"result":)").append(result).append("}");
}

std::string error_reply(std::string_view id, const MethodError& error) {
  OrderedJson object{{"code", static_cast<int>(error.code)}, {"message", error.message}};
  if (!error.data.is_null()) object["data"] = error.data;
  std::string reply = R"({"jsonrpc":"2.0","id":)";
  return reply.append(id).append(R"(,"error":)").append(to_text(object)).append("}");
}

std::string error_reply(std::string_view id, ControlError code, std::string message) {
  return error_reply(id, MethodError{code, std::move(message), nullptr});
}

// Checked before parsing: the parser copes with any depth, but some code that uses its result does
// not.
bool nests_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxRequestDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// A discarded value when the line is not one JSON text. The parser takes a NUL for the end of the
// text and would ignore the rest.
Json parse(std::string_view line) {
  if (line.find('\0') != std::string_view::npos) return Json(Json::value_t::discarded);
  return Json::parse(line, nullptr, false);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Whether this is an id by which the client can recognise its request. A fraction, or a number of
// more than 64 bits, would not be returned as it was sent.
bool is_request_id(const Json& id) {
  return id.is_null() || id.is_string() || id.is_number_integer();
}

struct Reading {
  const std::string* method = nullptr;
  std::string id{kNoId};  // JSON text
  bool notification = false;
  const char* error = nullptr;
};

Reading read(const Json& request) {
  Reading reading;
  if (!request.is_object()) {
    reading.error = "a request must be an object";
    return reading;
  }
  const auto id = request.find("id");
  if (id == request.end()) {
    reading.notification = true;
  } else if (is_request_id(*id)) {
    reading.id = id->dump();
  } else {
    reading.error = "\"id\" must be a string, a whole number of at most 64 bits, or null";
    return reading;
  }
  const auto version = request.find("jsonrpc");
  const auto method = request.find("method");
  if (version == request.end() || *version != "2.0") {
    reading.error = "\"jsonrpc\" must be \"2.0\"";
  } else if (method == request.end() || !method->is_string()) {
    reading.error = "\"method\" must be a string";
  } else {
    reading.method = method->get_ptr<const std::string*>();
  }
  return reading;
}

// Empty for a notification.
std::string handle_one(const Json& request, ControlTarget& target) {
  static const Json kNoParams;

  const Reading reading = read(request);
  if (reading.error != nullptr) {
    return error_reply(reading.id, ControlError::invalid_request, reading.error);
  }
  const auto params = request.find("params");
  const MethodOutcome outcome =
      call_method(*reading.method, params == request.end() ? kNoParams : *params, target);
  if (reading.notification) return {};
  if (const auto* error = std::get_if<MethodError>(&outcome))
    return error_reply(reading.id, *error);
  return result_reply(reading.id, std::get<std::string>(outcome));
}

std::string handle_batch(const Json& batch, ControlTarget& target) {
  if (batch.empty()) {
    return error_reply(kNoId, ControlError::invalid_request, "a batch must not be empty");
  }
  if (batch.size() > kMaxBatchRequests) {
    return error_reply(kNoId, ControlError::invalid_request,
                       "a batch may have at most " + std::to_string(kMaxBatchRequests) +
                           " requests, this one has " + std::to_string(batch.size()));
  }
  std::string replies;
  for (const Json& request : batch) {
    std::string reply;
    if (replies.size() < kMaxBatchReplyBytes) {
      reply = handle_one(request, target);
    } else if (const Reading reading = read(request);
               reading.error != nullptr || !reading.notification) {
      reply = error_reply(reading.id, ControlError::reply_too_large,
                          "not carried out: the replies of this batch already come to " +
                              std::to_string(replies.size()) + " bytes");
    }
    if (reply.empty()) continue;
    replies += replies.empty() ? '[' : ',';
    replies += reply;
  }
  if (!replies.empty()) replies += ']';
  return replies;
}

std::string handle(std::string_view line, ControlTarget& target) {
  if (nests_too_deep(line)) {
    return error_reply(
        kNoId, ControlError::invalid_request,
        "nested deeper than " + std::to_string(kMaxRequestDepth) + " arrays and objects");
  }
  const Json request = parse(line);
  if (request.is_discarded()) {
    return error_reply(kNoId, ControlError::parse_error, "this line is not a JSON text in UTF-8");
  }
  return request.is_array() ? handle_batch(request, target) : handle_one(request, target);
}

}  // namespace

std::string handle_request(std::string_view line, ControlTarget& target) {
  if (is_blank(line)) return {};
  if (line.size() > kMaxRequestBytes) return overlong_request_reply();
  std::string reply = handle(line, target);
  if (!reply.empty()) reply += '\n';
  return reply;
}

std::string overlong_request_reply() {
  return error_reply(kNoId, ControlError::invalid_request,
                     "a request may have at most " + std::to_string(kMaxRequestBytes) + " bytes") +
         '\n';
}

std::string event_notification(const Event& event) {
  return R"({"jsonrpc":"2.0","method":"event","params":)" + to_text(to_json(event)) + "}\n";
}

std::string dropped_notification(std::uint64_t count) {
  return R"({"jsonrpc":"2.0","method":"dropped","params":{"events":)" + std::to_string(count) +
         "}}\n";
}

}  // namespace backedpipe
