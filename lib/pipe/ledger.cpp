#include "pipe/ledger.hpp"

#include <utility>

#include "pipe/checksum.hpp"
#include "pipe/invariant.hpp"

namespace backedpipe {
namespace {

std::uint32_t link_to(std::optional<SegmentIndex> segment) {
  return segment ? *segment + 1 : 0;
}

std::uint32_t flag_of(Reason reason) {
  return std::uint32_t{static_cast<std::uint16_t>(reason)} << LedgerRecord::kReasonShift;
}

class Frozen final : public Ledger::Watch {
 public:
  bool may_store() override { return false; }
};

}  // namespace

std::uint64_t checksum_of(const LedgerRecord& record) {
  return Checksum()
      .add(record.id.bytes)
      .add(record.created_at)
      .add(record.labels)
      .add(record.role)
      .value();
}

std::uint64_t socket_checksum_of(const LedgerRecord& record) {
  return Checksum()
      .add(record.socket)
      .add(record.taken_baseline)
      .add(record.given_baseline)
      .value();
}

Ledger::Ledger(std::span<LedgerRecord> records, std::span<SegmentLink> links)
    : records_(records), links_(links) {}

void Ledger::freeze() {
  static Frozen frozen;
  watch_ = &frozen;
  frozen_ = true;
}

LedgerRecord* Ledger::allocate() {
  // A record that is freed from now on is still that of its session.
  if (frozen_) return nullptr;
  if (!freed_.empty()) {
    LedgerRecord& record = records_[freed_.back()];
    freed_.pop_back();
    return &record;
  }
  return next_ < records_.size() ? &records_[next_++] : nullptr;
}

LedgerEntry::LedgerEntry(Ledger& ledger, const Beginning& beginning) : ledger_(&ledger) {
  record_ = ledger.allocate();
  if (record_ == nullptr) return;
  // Nobody reads a free record, so these stores need no order among themselves.
  *record_ = {};
  record_->detached_since = beginning.detached_since;
  record_->restores = beginning.restores;
  record_->id = beginning.id;
  record_->created_at = beginning.created_at;
  record_->labels = beginning.labels;
  record_->role = beginning.role;
  record_->checksum = checksum_of(*record_);
  set(&LedgerRecord::state, LedgerRecord::State::session);
}

LedgerEntry::LedgerEntry(LedgerEntry&& other) noexcept
    : ledger_(other.ledger_), record_(std::exchange(other.record_, nullptr)) {}

void LedgerEntry::erase() {
  if (!kept()) return;
  set(&LedgerRecord::state, LedgerRecord::State::free);
  const auto index = record_ - ledger_->records_.data();
  ledger_->freed_.push_back(static_cast<std::uint32_t>(index));
  record_ = nullptr;
}

void LedgerEntry::enter(SegmentIndex segment, std::uint64_t number,
                        std::optional<SegmentIndex> after) {
  if (!kept()) return;
  SegmentLink& link = ledger_->links_[segment];
  ledger_->store(link.number, number);
  ledger_->store(link.next, 0);
  ledger_->store(after ? ledger_->links_[*after].next : record_->first_segment, link_to(segment));
}

void LedgerEntry::first_is(std::optional<SegmentIndex> segment) {
  set(&LedgerRecord::first_segment, link_to(segment));
}

void LedgerEntry::last_is(SegmentIndex segment) {
  if (kept()) ledger_->store(ledger_->links_[segment].next, 0);
}

void LedgerEntry::resetting(Reason reason) {
  if (kept() && record_->reset_reason() == Reason::none) raise(flag_of(reason));
}

void LedgerEntry::resetting_application(Reason reason) {
  if (!kept()) return;
  const bool first = record_->reset_reason() == Reason::none;
  raise(LedgerRecord::kApplicationReset | (first ? flag_of(reason) : 0));
}

void LedgerEntry::connected(const Connection& connection) {
  if (!kept()) return;
  invariant((record_->flags & LedgerRecord::kConnected) == 0);
  ledger_->store(record_->socket, connection.socket);
  ledger_->store(record_->taken_baseline, connection.taken_baseline);
  ledger_->store(record_->given_baseline, connection.given_baseline);
  ledger_->store(record_->socket_checksum, socket_checksum_of(*record_));
  if (connection.uncounted) raise(LedgerRecord::kUncounted);
  raise(LedgerRecord::kConnected);
}

}  // namespace backedpipe
