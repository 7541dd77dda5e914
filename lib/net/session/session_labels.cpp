#include "net/session/session_labels.hpp"

#include <array>

namespace backedpipe {
namespace {

// Both functions go through the names in this order.
constexpr std::array kNames = {&SessionLabels::service, &SessionLabels::tunnel,
                               &SessionLabels::peer, &SessionLabels::identity,
                               &SessionLabels::listener};

}  // namespace

// No name has a zero in it: they come from the settings and from certificates, which are checked.
std::string encode(const SessionLabels& labels) {
  std::string text;
  for (const auto name : kNames)
    text += labels.*name + '\0';
  return text;
}

std::optional<SessionLabels> decode_labels(std::string_view text) {
  SessionLabels labels;
  for (const auto name : kNames) {
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    labels.*name = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  return text.empty() ? std::optional(labels) : std::nullopt;
}

}  // namespace backedpipe
