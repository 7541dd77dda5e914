#include "pipe/backed_writer.hpp"

#include <algorithm>
#include <utility>

#include <boost/system/errc.hpp>

#include "pipe/invariant.hpp"

namespace backedpipe {

BackedWriter::BackedWriter(SegmentPool& pool, std::size_t capacity_bytes, LedgerEntry ledger)
    : ledger_(std::move(ledger)),
      ring_(pool, SegmentPool::Use::outbound, capacity_bytes, &ledger_) {}

std::size_t BackedWriter::prepare(std::size_t max_bytes, std::span<MutableBytes> out) {
  return finished_ ? 0 : ring_.prepare(max_bytes, out);
}

void BackedWriter::commit(std::size_t count) {
  invariant(count == 0 || !finished_);
  ring_.commit(count);
}

std::size_t BackedWriter::write(ConstBytes bytes) {
  return finished_ ? 0 : ring_.write(bytes);
}

void BackedWriter::finish() {
  finished_ = true;
  ledger_.finished();
}

void BackedWriter::schedule(std::size_t count) {
  scheduled_ += count;
  ledger_.sending(scheduled_);
}

Result<void> BackedWriter::check(const Position& peer) const {
  if (discarded_) return {};
  if (peer.received > highest_sent_) return Reason::future_sequence;
  if (peer.received < acknowledged() || peer.delivered > peer.received) {
    return Reason::replay_unavailable;
  }
  return {};
}

Result<void> BackedWriter::attach(const Position& peer) {
  if (const auto fits = check(peer); !fits) return fits;
  if (discarded_) return {};
  attached_ = true;
  scheduled_ = sent_ = peer.received;
  raise_limit(peer.window_limit);
  // The peer may have delivered more than its last acknowledgement could tell.
  return acknowledge(peer.delivered);
}

std::size_t BackedWriter::sendable() const {
  const std::uint64_t until = std::min(ring_.end(), limit_);
  if (!attached_ || scheduled_ >= until) return 0;
  return static_cast<std::size_t>(until - scheduled_);
}

bool BackedWriter::fin_sendable() const {
  return attached_ && finished_ && scheduled_ == ring_.end();
}

void BackedWriter::mark_sent(std::uint64_t sequence) {
  invariant(sequence >= sent_ && sequence <= scheduled_);
  sent_ = sequence;
  highest_sent_ = std::max(highest_sent_, sent_);
  release_acknowledged();
}

Result<void> BackedWriter::acknowledge(std::uint64_t sequence) {
  if (discarded_) return {};
  if (sequence > highest_sent_) return Reason::future_sequence;
  stated_ = std::max(stated_, sequence);
  release_acknowledged();
  return {};
}

void BackedWriter::release_acknowledged() {
  // Not beyond what this link has taken: bytes in a frame that waits to be sent must stay in
  // memory even if the peer already has them.
  const std::uint64_t sequence = std::min(stated_, sent_);
  if (sequence <= acknowledged()) return;
  ring_.release(std::min(sequence, ring_.end()));
  if (sequence > ring_.end()) {
    fin_acknowledged_ = true;
    ledger_.fin_acknowledged();
  }
}

void BackedWriter::raise_limit(std::uint64_t limit) {
  limit_ = std::max(limit_, limit);
}

void BackedWriter::discard() {
  attached_ = false;
  discarded_ = true;
  ring_.clear();
}

WriterRecord BackedWriter::record() const {
  return {.begin_offset = discarded_ ? ring_.end() : ring_.begin(),
          .end_offset = ring_.end(),
          .highest_sent = highest_sent_,
          .finished = finished_,
          .fin_acknowledged = fin_acknowledged_,
          .discarded = discarded_};
}

Result<void> BackedWriter::restore(const WriterRecord& record, std::span<const ConstBytes> held) {
  const std::uint64_t size = record.end_offset - record.begin_offset;
  if (ring_.restore(record.begin_offset, held) != size) {
    return make_error_code(boost::system::errc::no_buffer_space);
  }
  scheduled_ = sent_ = highest_sent_ = record.highest_sent;
  finished_ = record.finished;
  fin_acknowledged_ = record.fin_acknowledged;
  discarded_ = record.discarded;
  ledger_.sending(highest_sent_);
  if (finished_) ledger_.finished();
  if (fin_acknowledged_) ledger_.fin_acknowledged();
  return {};
}

}  // namespace backedpipe
