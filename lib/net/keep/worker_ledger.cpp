#include "net/keep/worker_ledger.hpp"

namespace backedpipe {

std::optional<std::uint32_t> WorkerLedger::record_label(std::string_view text) {
  if (text.size() > LabelSlot::kMostBytes) return std::nullopt;
  std::uint32_t number = next_label_;
  if (!free_labels_.empty()) {
    number = free_labels_.back();
    free_labels_.pop_back();
  } else if (next_label_ < section_.labels.size()) {
    ++next_label_;
  } else {
    return std::nullopt;
  }
  LedgerFile::set(section_.labels[number], text);
  return number;
}

}  // namespace backedpipe
