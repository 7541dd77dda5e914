// The order in which sessions are shown. Pure functions over the result of the method "sessions".
#pragma once

#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

namespace backedpipe::ctl {

struct SortKey {
  std::string_view name;  // as people type it: a column's title
  const char* field;      // of a session
};

// The keys to sort by; the first is the default.
std::span<const SortKey> sort_keys();
// Null when no key has that name.
const SortKey* find_sort_key(std::string_view name);

// Smallest or oldest first; with `reverse`, largest or newest first. Equal sessions are in the
// order of their ids, so that a live view does not flicker. A session that lacks the field comes
// last.
void sort_sessions(nlohmann::ordered_json& sessions, const SortKey& key, bool reverse);

}  // namespace backedpipe::ctl
