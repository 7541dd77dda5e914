#include "daemon/ctl/fields.hpp"

#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {

const Json& field(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text(const Json& object, const char* key) {
  const auto* value = field(object, key).get_ptr<const std::string*>();
  return value == nullptr ? std::string() : *value;
}

std::uint64_t count(const Json& object, const char* key) {
  const auto* value = field(object, key).get_ptr<const Json::number_unsigned_t*>();
  return value == nullptr ? 0 : *value;
}

std::optional<std::chrono::seconds> age(const Json& object, const char* key, WallTime now) {
  using std::chrono::milliseconds;
  const auto time = parse_timestamp(text(object, key));
  if (!time) return std::nullopt;
  // In milliseconds, because the distance to a far year overflows in nanoseconds.
  const milliseconds passed =
      std::chrono::floor<milliseconds>(now) - std::chrono::floor<milliseconds>(*time);
  return std::chrono::floor<std::chrono::seconds>(passed);
}

std::string state_word(const Json& session) {
  const Json& suspect = field(session, "suspect");
  const bool doubtful = suspect.is_boolean() && suspect.get<bool>();
  return doubtful ? "suspect" : text(session, "state");
}

}  // namespace backedpipe::ctl
