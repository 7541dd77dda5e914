// SessionHistory: the latest links of one session, for whoever asks what happened to it. A plain
// value of bounded size, owned by the session's driver.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "control/snapshots.hpp"

namespace backedpipe {

class SessionHistory {
 public:
  static constexpr std::size_t kMaxLinks = 32;

  // The session has this link; its end is not known yet.
  void attached(LinkRecord link) {
    if (links_.size() == kMaxLinks) links_.erase(links_.begin());
    links_.push_back(std::move(link));
  }

  // The latest link has ended. Nothing happens if it had already.
  void detached(WallTime at, std::string reason, std::string detail) {
    if (links_.empty() || links_.back().detached_at) return;
    links_.back().detached_at = at;
    links_.back().reason = std::move(reason);
    links_.back().detail = std::move(detail);
  }

  // Oldest first.
  std::vector<LinkRecord> links() const { return links_; }

 private:
  std::vector<LinkRecord> links_;  // most sessions have one: a deque would begin with half a KiB
};

}  // namespace backedpipe
