// Snapshots as JSON text, for the methods of the control socket.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "control/event.hpp"
#include "control/snapshots.hpp"

namespace backedpipe {

// Keeps fields in the order in which they are added, the most useful first.
using OrderedJson = nlohmann::ordered_json;

// One line. Bytes that are not UTF-8 become U+FFFD, because addresses and error texts may come from
// others.
std::string to_text(const OrderedJson& value);

OrderedJson to_json(const StatusSnapshot& status);
// Without its history.
OrderedJson to_json(const SessionSnapshot& session);
OrderedJson history_json(const SessionSnapshot& session);
OrderedJson to_json(const Event& event);

}  // namespace backedpipe
