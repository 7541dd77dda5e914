#include "daemon/ctl/session_order.hpp"

#include <algorithm>
#include <array>

namespace backedpipe::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kKeys{SortKey{"age", "created_at"},
                           SortKey{"since", "state_since"},
                           SortKey{"id", "id"},
                           SortKey{"state", "state"},
                           SortKey{"tunnel", "tunnel"},
                           SortKey{"service", "service"},
                           SortKey{"peer", "peer"},
                           SortKey{"identity", "identity"},
                           SortKey{"generation", "generation"},
                           SortKey{"in", "bytes_in"},
                           SortKey{"out", "bytes_out"},
                           SortKey{"unacked", "unacked"},
                           SortKey{"buffered", "buffered"},
                           SortKey{"rtt", "rtt_ms"},
                           SortKey{"reconnects", "reconnects"}};

const Json& at(const Json& session, const char* field) {
  static const Json kNull;
  if (!session.is_object()) return kNull;
  const auto found = session.find(field);
  return found == session.end() ? kNull : *found;
}

}  // namespace

std::span<const SortKey> sort_keys() {
  return kKeys;
}

const SortKey* find_sort_key(std::string_view name) {
  const auto found = std::find_if(kKeys.begin(), kKeys.end(),
                                  [name](const SortKey& key) { return key.name == name; });
  return found == kKeys.end() ? nullptr : &*found;
}

void sort_sessions(Json& sessions, const SortKey& key, bool reverse) {
  if (!sessions.is_array()) return;
  std::sort(sessions.begin(), sessions.end(), [&](const Json& a, const Json& b) {
    const Json& left = at(a, key.field);
    const Json& right = at(b, key.field);
    if (left.is_null() != right.is_null()) return right.is_null();
    if (left != right) return reverse ? right < left : left < right;
    return at(a, "id") < at(b, "id");
  });
}

}  // namespace backedpipe::ctl
