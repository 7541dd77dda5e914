// SessionLabels: the names that describe a session to people; many sessions have the same ones.
// SharedLabels keeps each such set of names once, and has it recorded for the next process, if that
// is to continue the sessions. One SharedLabels per SessionTable, on its thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "net/keep/worker_ledger.hpp"

namespace backedpipe {

struct SessionLabels {
  std::string service;
  std::string tunnel;    // client
  std::string peer;      // client: the peer's name; server: empty
  std::string identity;  // of the client that opened it
  std::string listener;  // server: where it was opened

  auto operator<=>(const SessionLabels&) const = default;
};

// As they are recorded; nothing if the text was not written by the first function.
std::string encode(const SessionLabels& labels);
std::optional<SessionLabels> decode_labels(std::string_view text);

class SharedLabels {
 public:
  struct Shared : SessionLabels {
    std::optional<std::uint32_t> number;  // in the WorkerLedger, if they are recorded
  };
  using Labels = std::shared_ptr<const Shared>;

  // `ledger`: where to record them; may be null. It must outlive the labels.
  explicit SharedLabels(WorkerLedger* ledger = nullptr) : ledger_(ledger) {}

  // Also removes, from time to time, labels that no session uses any more.
  Labels of(SessionLabels labels) {
    if (const auto known = known_.find(labels); known != known_.end()) return *known;
    if (known_.size() >= sweep_at_) {
      std::erase_if(known_, [](const Labels& each) { return each.use_count() == 1; });
      sweep_at_ = 2 * known_.size() + kFew;
    }
    return *known_.insert(share(std::move(labels))).first;
  }

  std::size_t size() const { return known_.size(); }

 private:
  Labels share(SessionLabels labels) const {
    if (ledger_ == nullptr) {
      return std::make_shared<const Shared>(Shared{std::move(labels), std::nullopt});
    }
    const auto number = ledger_->record_label(encode(labels));
    return Labels(new Shared{std::move(labels), number}, [ledger = ledger_](const Shared* shared) {
      if (shared->number) ledger->forget_label(*shared->number);
      delete shared;
    });
  }

  struct ByContent {
    using is_transparent = void;
    bool operator()(const Labels& a, const Labels& b) const { return of(a) < of(b); }
    bool operator()(const Labels& a, const SessionLabels& b) const { return of(a) < b; }
    bool operator()(const SessionLabels& a, const Labels& b) const { return a < of(b); }
    static const SessionLabels& of(const Labels& labels) { return *labels; }
  };

  static constexpr std::size_t kFew = 16;

  WorkerLedger* ledger_;
  std::set<Labels, ByContent> known_;
  std::size_t sweep_at_ = kFew;
};

}  // namespace backedpipe
