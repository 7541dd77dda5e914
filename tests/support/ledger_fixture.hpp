// Shared by the tests of the ledger: the memory that outlives a process, and what was stored there,
// in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "pipe/ledger.hpp"
#include "pipe/segment_pool.hpp"

namespace backedpipe::test {

// A ledger, and the arena of outbound bytes beside it.
class LedgerMemory {
 public:
  explicit LedgerMemory(std::size_t record_count = 4, std::size_t segment_count = 64,
                        std::size_t segment_bytes = 16)
      : arena(segment_count * segment_bytes),
        links(segment_count),
        records(record_count),
        pool(arena, segment_bytes) {}

  // The segments in a record's list, from the first, as far as the list can be followed.
  std::vector<SegmentIndex> segments_of(const LedgerRecord& record) const {
    std::vector<SegmentIndex> segments;
    for (std::uint32_t link = record.first_segment;
         link > 0 && link <= links.size() && segments.size() < links.size();
         link = links[link - 1].next) {
      segments.push_back(link - 1);
    }
    return segments;
  }

  std::vector<std::byte> arena;
  std::vector<SegmentLink> links;
  std::vector<LedgerRecord> records;
  Ledger ledger{records, links};
  SegmentPool pool;
};

// Looks at the memory as it is before each store: there the process may end.
class BeforeEachStore final : public Ledger::Watch {
 public:
  BeforeEachStore(LedgerMemory& memory, std::function<void()> look)
      : memory_(memory), look_(std::move(look)) {
    memory_.ledger.watch(this);
  }
  ~BeforeEachStore() override { memory_.ledger.watch(nullptr); }
  BeforeEachStore(const BeforeEachStore&) = delete;
  BeforeEachStore& operator=(const BeforeEachStore&) = delete;

  bool may_store() override {
    ++count_;
    look_();
    return true;
  }
  std::size_t count() const { return count_; }

 private:
  LedgerMemory& memory_;
  std::function<void()> look_;
  std::size_t count_ = 0;
};

// What is stored in the first record and in the links, in words and in order: "written 5, sent 5".
class Stores {
 public:
  explicit Stores(LedgerMemory& memory)
      : memory_(memory),
        record_(memory.records.front()),
        links_(memory.links),
        watch_(memory, [this] { note(); }) {}

  // Since the last call.
  std::string take() {
    note();
    return std::exchange(words_, {});
  }

 private:
  // How the memory differs from the last look at it, which is one store at most.
  void note() {
    const LedgerRecord& now = memory_.records.front();
    number("acknowledged", record_.acknowledged_offset, now.acknowledged_offset);
    number("written", record_.written_offset, now.written_offset);
    number("sent", record_.highest_sent, now.highest_sent);
    number("delivered", record_.delivered_offset, now.delivered_offset);
    number("limit", record_.window_limit, now.window_limit);
    number("generation", record_.highest_generation, now.highest_generation);
    number("detached", record_.detached_since, now.detached_since);
    number("grace", record_.grace, now.grace);
    number("links", record_.links, now.links);
    number("socket", record_.socket, now.socket);
    number("taken", record_.taken_baseline, now.taken_baseline);
    number("given", record_.given_baseline, now.given_baseline);
    if (record_.socket_checksum != now.socket_checksum) say("socket checksum");
    flags(now.flags);
    number("reason", record_.flags >> LedgerRecord::kReasonShift,
           now.flags >> LedgerRecord::kReasonShift);
    number("first", record_.first_segment, now.first_segment);
    if (record_.state != now.state) say(now.state == LedgerRecord::State::free ? "free" : "in use");
    record_ = now;
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const std::string of = " of " + std::to_string(i + 1);
      number("number" + of, links_[i].number, memory_.links[i].number);
      number("next" + of, links_[i].next, memory_.links[i].next);
      links_[i] = memory_.links[i];
    }
  }

  void say(const std::string& words) { words_ += (words_.empty() ? "" : ", ") + words; }
  void number(const std::string& what, std::uint64_t before, std::uint64_t now) {
    if (before != now) say(what + " " + std::to_string(now));
  }
  void flags(std::uint32_t now) {
    static constexpr std::pair<LedgerRecord::Flag, const char*> kNames[] = {
        {LedgerRecord::kFinished, "finished"},
        {LedgerRecord::kFinAcknowledged, "fin acknowledged"},
        {LedgerRecord::kEndDelivered, "end delivered"},
        {LedgerRecord::kApplicationReset, "application reset"},
        {LedgerRecord::kConfirmed, "confirmed"},
        {LedgerRecord::kSaidHello, "said hello"},
        {LedgerRecord::kWelcomed, "welcomed"},
        {LedgerRecord::kConnected, "connected"},
        {LedgerRecord::kUncounted, "uncounted"},
        {LedgerRecord::kReading, "reading"},
        {LedgerRecord::kWriting, "writing"}};
    for (const auto& [flag, name] : kNames) {
      const bool set = (now & flag) != 0;
      if (set != ((record_.flags & flag) != 0)) say(set ? name : std::string("not ") + name);
    }
  }

  LedgerMemory& memory_;
  LedgerRecord record_;
  std::vector<SegmentLink> links_;
  std::string words_;
  BeforeEachStore watch_;
};

}  // namespace backedpipe::test
