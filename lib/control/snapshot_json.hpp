// Snapshots as JSON text. Used by the methods of the control socket; everything else reads what
// they return.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "control/event.hpp"
#include "control/snapshots.hpp"

namespace backedpipe {

// Fields come in the order in which a reader wants them.
using OrderedJson = nlohmann::ordered_json;

// One line. Text in the value that is not UTF-8 becomes U+FFFD, because addresses and error texts
// are not ours to trust.
std::string to_text(const OrderedJson& value);

OrderedJson to_json(const StatusSnapshot& status);
// Without its history.
OrderedJson to_json(const SessionSnapshot& session);
OrderedJson history_json(const SessionSnapshot& session);
OrderedJson to_json(const Event& event);

}  // namespace backedpipe
