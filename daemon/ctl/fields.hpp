// Read the fields of the control socket's answers, for views: a field that is missing or of another
// type counts as empty, or 0. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace backedpipe::ctl {

using Json = nlohmann::ordered_json;
using WallTime = std::chrono::system_clock::time_point;

// Null when there is none.
const Json& field(const Json& object, const char* key);
std::string text(const Json& object, const char* key);
std::uint64_t count(const Json& object, const char* key);
// How long ago the field's time is, in whole seconds; negative when it is in the future.
std::optional<std::chrono::seconds> age(const Json& object, const char* key, WallTime now);

// The state of a session in one word; "suspect" when it is connected but its link owes an answer.
std::string state_word(const Json& session);

}  // namespace backedpipe::ctl
