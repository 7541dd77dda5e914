// SessionLabels: what people want to know about a session besides its state, as far as many
// sessions have it in common, and SharedLabels, which keeps each such set of names once. One
// SharedLabels for each Client and Server, on its thread.
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
  std::string identity;  // who opened it
  std::string listener;  // server: where it was opened

  auto operator<=>(const SessionLabels&) const = default;
};

class SharedLabels {
 public:
  using Labels = std::shared_ptr<const SessionLabels>;

  Labels of(SessionLabels labels) {
    if (const auto known = known_.find(labels); known != known_.end()) return *known;
    return *known_.insert(std::make_shared<const SessionLabels>(std::move(labels))).first;
  }

  // One of those who had them does not need them any more, but still has them.
  void released(const Labels& labels) {
    if (labels.use_count() > 2) return;
    if (const auto known = known_.find(*labels); known != known_.end()) known_.erase(known);
  }

  std::size_t size() const { return known_.size(); }

 private:
  struct ByContent {
    using is_transparent = void;
    bool operator()(const Labels& a, const Labels& b) const { return *a < *b; }
    bool operator()(const Labels& a, const SessionLabels& b) const { return *a < b; }
    bool operator()(const SessionLabels& a, const Labels& b) const { return a < *b; }
  };

  std::set<Labels, ByContent> known_;
};

}  // namespace backedpipe
