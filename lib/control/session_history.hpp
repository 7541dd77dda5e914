// SessionHistory: the latest links of one session, for whoever asks what happened to it. A plain
// value of bounded size, owned by the session's driver. The link that there is takes no memory
// beside it: most sessions never have another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/snapshots.hpp"

namespace backedpipe {

class SessionHistory {
 public:
  static constexpr std::size_t kMaxLinks = 32;

  struct Link {
    std::uint64_t generation = 0;
    std::string address;  // its remote one
    WallTime attached_at;
    std::optional<Duration> away;  // without a link before this one; none for the first
  };

  // The session has this link; its end is not known yet.
  void attached(Link link) {
    latest_ = std::move(link);
    is_there_ = true;
  }

  // The latest link has ended. Nothing happens if it had already.
  void detached(WallTime at, std::string reason, std::string detail) {
    if (!std::exchange(is_there_, false)) return;
    if (ended_.size() == kMaxLinks) ended_.erase(ended_.begin());
    ended_.push_back(record_of_latest());
    ended_.back().detached_at = at;
    ended_.back().reason = std::move(reason);
    ended_.back().detail = std::move(detail);
  }

  // Of the link there is, or of the last one there was.
  const std::string& latest_address() const { return latest_.address; }

  // Oldest first.
  std::vector<LinkRecord> links() const {
    std::vector<LinkRecord> links = ended_;
    if (is_there_) links.push_back(record_of_latest());
    if (links.size() > kMaxLinks) links.erase(links.begin());
    return links;
  }

 private:
  LinkRecord record_of_latest() const {
    return {.generation = latest_.generation,
            .link = latest_.address,
            .attached_at = latest_.attached_at,
            .away = latest_.away,
            .detached_at = {},
            .reason = {},
            .detail = {}};
  }

  std::vector<LinkRecord> ended_;
  Link latest_;
  bool is_there_ = false;
};

}  // namespace backedpipe
