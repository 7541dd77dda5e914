// SessionLabels: the names that describe a session to people; many sessions have the same ones.
// SharedLabels keeps each such set of names once. One SharedLabels per SessionTable, on its thread.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>

namespace backedpipe {

struct SessionLabels {
  std::string tunnel;    // client
  std::string peer;      // client: the peer's name; server: empty
  std::string identity;  // of the client that opened it
  std::string listener;  // server: where it was opened

  auto operator<=>(const SessionLabels&) const = default;
};

class SharedLabels {
 public:
  using Labels = std::shared_ptr<const SessionLabels>;

  // Also removes, from time to time, labels that no session uses any more.
  Labels of(SessionLabels labels) {
    if (const auto known = known_.find(labels); known != known_.end()) return *known;
    if (known_.size() >= sweep_at_) {
      std::erase_if(known_, [](const Labels& each) { return each.use_count() == 1; });
      sweep_at_ = 2 * known_.size() + kFew;
    }
    return *known_.insert(std::make_shared<const SessionLabels>(std::move(labels))).first;
  }

  std::size_t size() const { return known_.size(); }

 private:
  struct ByContent {
    using is_transparent = void;
    bool operator()(const Labels& a, const Labels& b) const { return *a < *b; }
    bool operator()(const Labels& a, const SessionLabels& b) const { return *a < b; }
    bool operator()(const SessionLabels& a, const Labels& b) const { return a < *b; }
  };

  static constexpr std::size_t kFew = 16;

  std::set<Labels, ByContent> known_;
  std::size_t sweep_at_ = kFew;
};

}  // namespace backedpipe
