// SessionHistory: the latest links of one session, for the control socket. A plain value of bounded
// size, owned by the session's driver. The current link needs no allocation, since most sessions
// never have a second one.
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
    std::string address;  // its remote address
    WallTime attached_at;
    std::optional<Duration> away;  // time without a link before this one; none for the first
  };

  // The session has got this link.
  void attached(Link link) {
    latest_ = std::move(link);
    is_there_ = true;
  }

  // The latest link has ended. Does nothing if it had ended before.
  void detached(WallTime at, std::string reason, std::string detail) {
    if (!std::exchange(is_there_, false)) return;
    if (ended_.size() == kMaxLinks) ended_.erase(ended_.begin());
    ended_.push_back(record_of_latest());
    ended_.back().detached_at = at;
    ended_.back().reason = std::move(reason);
    ended_.back().detail = std::move(detail);
  }

  // Of the current link, or of the last one.
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
