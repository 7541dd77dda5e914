// In which order sessions are shown. Pure functions over the result of the method "sessions".
#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

namespace backedpipe::ctl {

struct SortKey {
  std::string_view name;  // as people type it: a column's title
  const char* field;      // of a session
};

// What can be sorted by; the first is the order when nobody says which.
std::span<const SortKey> sort_keys();
// Null when there is none of that name.
const SortKey* find_sort_key(std::string_view name);

// Smallest, or oldest, first; reversed the other way round. Sessions that are equal stay in the
// order of their ids, so that a live view does not flicker. A session that lacks the field comes
// last.
void sort_sessions(nlohmann::ordered_json& sessions, const SortKey& key, bool reverse);

}  // namespace backedpipe::ctl
